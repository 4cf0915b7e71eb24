"""`list`: the parts, and all of one part."""

import json
import re

import pytest

from sp_search.cli import ExitCode, main
from sp_search.cli.parts import allowed


def test_list_names_parts_and_settings(capsys):
    assert main(["list", "priors"]) == ExitCode.MET
    out = capsys.readouterr().out
    assert "ponder_net: " in out
    assert "models" not in out.split()
    assert main(["list", "--json"]) == ExitCode.MET
    assert "recall_conv" in json.loads(capsys.readouterr().out)["models"]


def test_list_says_all_of_one_part_and_the_nearest_of_one_that_is_not_there(capsys):
    assert main(["list", "models", "ponder_cell"]) == ExitCode.MET
    out = capsys.readouterr().out
    for words in ("sp_search.models.ponder_cell.PonderCell", "models/ponder_cell.py", "units of the state"):
        assert words in out
    assert re.search(r'cell +"mlp" +"mlp" or "gru" +how a rollout', out)
    assert re.search(r"width +48 +integer >= 1 +units", out)
    assert main(["list", "models", "ponder_cel"]) == ExitCode.USAGE
    assert "Did you mean 'ponder_cell'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 2, "exclusiveMaximum": 9}, "integer >= 2 and < 9"),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0.5}, {"type": "null"}]}, "number > 0.5 or null"),
        ({"enum": ["mlp", "gru"]}, '"mlp" or "gru"'),
        ({"const": "mlp"}, '"mlp"'),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of text (one or more)"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "mapping to integer"),
        ({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, "mapping"),
        ({"type": "boolean"}, "true or false"),
        ({}, "anything"),
    ],
)
def test_what_a_setting_allows_is_said_in_a_few_words(schema, words):
    assert allowed(schema) == words
