from .command import visualize_d as visualize_d
from .explanation import explain as explain
from .probe import run as run
from .result import FilterPictures as FilterPictures
from .result import Responses as Responses
from .result import concentration as concentration
