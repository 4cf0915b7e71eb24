"""Any text is read or refused, and what is written is read unchanged."""

from hypothesis import given
from hypothesis import strategies as st

from sp_search import yaml_strict

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{2,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_dumped_is_loaded_unchanged(data):
    if isinstance(data, dict) and not set(data) & {"null", "true", "false"}:
        document = yaml_strict.load(yaml_strict.dump(data))
        assert (document.data, document.problems) == (data, [])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_but_never_raises(text):
    yaml_strict.load(text)
