-- to_char() is stable, so a function around it that says immutable is not inlined: that call was a third of a small read.
ALTER FUNCTION at_text(timestamptz) STABLE;
