"""Gives programs of 2017 what Python 3.11 no longer has. Python imports it at its start."""

import collections
import collections.abc
import gettext
import inspect
import warnings

warnings.simplefilter("ignore", DeprecationWarning)

for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]


def _translation(domain, localedir=None, languages=None, class_=None, fallback=False, codeset=None):
    return _find_translation(domain, localedir, languages, class_, fallback)


_find_translation = gettext.translation
gettext.translation = _translation
