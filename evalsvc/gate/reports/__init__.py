"""What a verdict looks like: on a terminal, in a pull request, as JUnit XML, JSON and HTML."""
