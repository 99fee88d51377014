"""For this target language: should I merge, how, from which source languages, and how sure are we?"""

__version__ = "0.1.0"
