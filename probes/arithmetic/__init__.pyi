from .command import arithmetic as arithmetic
from .probe import run as run
from .result import Arithmetic as Arithmetic
from .result import Term as Term
from .success import Method as Method
from .success import Success as Success
from .trials import measure as measure
