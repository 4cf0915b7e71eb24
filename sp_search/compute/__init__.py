"""Counts what programs compute: FLOPs, the critical path, and execution that really stops."""

from sp_search.compute.dispatch import register_price
from sp_search.compute.doors import UnpricedOperationError
from sp_search.compute.flops import CrossCheck, FlopCount, count_flops, cross_check, measured_prices
from sp_search.compute.footprint import Footprint, footprint
from sp_search.compute.serial import program_serial_depth, serial_depth
from sp_search.compute.stopping import Execution, execute

__all__ = [
    "CrossCheck",
    "Execution",
    "FlopCount",
    "Footprint",
    "UnpricedOperationError",
    "count_flops",
    "cross_check",
    "execute",
    "footprint",
    "measured_prices",
    "program_serial_depth",
    "register_price",
    "serial_depth",
]
