from . import formats as formats
from .boxes import Box as Box
from .boxes import Boxes as Boxes
from .boxes import sample_name as sample_name
