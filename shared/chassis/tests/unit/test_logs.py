"""What a log tells of an error of PostgreSQL's: what it was, not the row that it was about."""

from asyncpg import CheckViolationError

from chassis import logs

SENTENCE = 'new row violates check constraint "planted"'


def refused() -> CheckViolationError:
    error = CheckViolationError(SENTENCE)
    error.detail = "Failing row contains (anna, tok_secret)."
    assert "tok_secret" in str(error)
    return error


def test_an_error_of_postgresqls_is_logged_without_the_row_that_it_refused() -> None:
    group = ExceptionGroup("two", [refused(), refused()])
    told = logs.without_rows(None, "error", dict(logs.ERRORS(None, "error", {"exc_info": group})))
    assert "tok_secret" not in str(told)
    assert str(told).count(SENTENCE) == 2
