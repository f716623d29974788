from .command import forget as forget
from .erased import Erased as Erased
from .probe import choose as choose
from .probe import default_layer as default_layer
from .probe import run as run
from .result import Change as Change
from .result import Drift as Drift
from .result import Forgotten as Forgotten
