from .command import put as put
from .probe import run as run
from .result import Put as Put
