from . import group as group
