from . import comparison as comparison
from . import filters as filters
from . import levels as levels
from . import ranking as ranking
from . import tails as tails
from .filters import Selection as Selection
from .filters import cells as cells
from .tails import Tail as Tail
