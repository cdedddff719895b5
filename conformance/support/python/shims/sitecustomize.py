"""Gives programs of 2017 what Python 3.11 no longer has. Python imports it at its start."""

import collections
import collections.abc
import concurrent.futures
import functools
import gettext
import inspect
import sys
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


def _may_be_settled_again(settle):
    """A future took a second result, which then was the result, until Python 3.8."""

    @functools.wraps(settle)
    def settle_again(self, value):
        with self._condition:
            if self.done():
                self._state = "PENDING"
        return settle(self, value)

    return settle_again


_Future = concurrent.futures.Future
_Future.set_result = _may_be_settled_again(_Future.set_result)
_Future.set_exception = _may_be_settled_again(_Future.set_exception)

# pika does without this module, which has a variable named as a word that Python now reserves.
sys.modules["pika.adapters.libev_connection"] = None
