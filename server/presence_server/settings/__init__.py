"""The settings: one declaration each, from which flags, variables, the file's keys, help and documents are made.

declaration  what is said of one setting
checks       what one value must look like
table        all settings of one server, valid or not there
loading      from flags, variables and a file
wording      the documents' table and the start-up line
"""

from presence_server.settings.declaration import PREFIX, PROGRAM, Declaration, SettingsError
from presence_server.settings.loading import load, load_or_exit, misspelt_variables
from presence_server.settings.table import DECLARATIONS, Settings, hosts_of
from presence_server.settings.wording import markdown_table, returning_line, start_line

__all__ = [
    "DECLARATIONS",
    "PREFIX",
    "PROGRAM",
    "Declaration",
    "Settings",
    "SettingsError",
    "hosts_of",
    "load",
    "load_or_exit",
    "markdown_table",
    "misspelt_variables",
    "returning_line",
    "start_line",
]
