"""The report: tables and figures of what was found, as one page. Formats and draws; decides nothing."""
