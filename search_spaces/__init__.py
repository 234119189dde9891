"""What may be tried: named, bounded parameters with conditions, and the configs drawn from them.

Knows neither what the parameters mean to a training run nor how trials are run. Importing it needs PyYAML and
nothing heavier; numpy is imported when a config is drawn.
"""

from __future__ import annotations

from search_spaces.config import Config, Value
from search_spaces.domains import Choice, Domain, Float, Int
from search_spaces.errors import SpaceError
from search_spaces.load import load_space, shipped_spaces, space_from_mapping
from search_spaces.parameters import Condition, Parameter
from search_spaces.read_yaml import Document, read_scalar, read_yaml
from search_spaces.space import SearchSpace

__all__ = [
    "Choice",
    "Condition",
    "Config",
    "Document",
    "Domain",
    "Float",
    "Int",
    "Parameter",
    "SearchSpace",
    "SpaceError",
    "Value",
    "load_space",
    "read_scalar",
    "read_yaml",
    "shipped_spaces",
    "space_from_mapping",
]
