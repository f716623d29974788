from . import files as files
from . import fingerprints as fingerprints
from . import json_values as json_values
from . import xml_values as xml_values
