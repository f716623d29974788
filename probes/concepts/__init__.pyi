from .command import concepts as concepts
from .suggestions import Suggestions as Suggestions
from .suggestions import suggest as suggest
