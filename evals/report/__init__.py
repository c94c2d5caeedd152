"""The verdict where it is read: a comment on a pull request, JUnit XML, annotations, JSON."""
