"""What provisioning would change in PostgreSQL, told from two states."""

from base64 import b64decode
from dataclasses import replace

import pytest

from contracts import Names
from waybill.provision.postgres.desired import desired_state
from waybill.provision.postgres.difference import PostgresDifference, difference, quoted
from waybill.provision.postgres.state import Database, Membership, PostgresState, Privilege
from waybill.provision.postgres.verifier import verifier, verifies

NAMES = Names("t1")
EMPTY = PostgresState({}, {}, frozenset())
WANTED = desired_state(NAMES, EMPTY)


def password(role: str) -> str:
    return f"the password of {role}"


def statements(differs: PostgresDifference) -> list[str]:
    return [step.statement for steps in differs for step in steps]


def with_inventory(privileges: frozenset[Privilege]) -> PostgresState:
    inventory = replace(WANTED.databases["t1_inventory"], privileges=privileges)
    return replace(WANTED, databases={**WANTED.databases, "t1_inventory": inventory})


def test_what_is_as_wanted_needs_nothing() -> None:
    assert difference(WANTED, WANTED, password).plan().empty


def test_an_empty_server_gets_a_role_and_a_database_a_service() -> None:
    differs = difference(WANTED, EMPTY, password)
    owners = ("accounting", "checkout", "fulfillment", "inventory", "payment_gateway")
    databases = [*(f"t1_{owner}" for owner in owners), "registry"]
    assert sorted(step.change.name for step in differs.databases) == sorted(databases)
    assert sorted(step.change.name for step in differs.roles) == sorted([*databases, "t1_auditor"])


def test_nothing_is_left_to_everybody_in_a_new_database() -> None:
    found = statements(difference(WANTED, EMPTY, password))
    assert "REVOKE CONNECT, TEMPORARY ON DATABASE t1_inventory FROM PUBLIC CASCADE" in found
    assert found.count("REVOKE USAGE ON SCHEMA public FROM PUBLIC CASCADE") == len(WANTED.databases)


def test_the_servers_own_databases_are_closed_to_everybody() -> None:
    open_database = Privilege("database", "postgres", "PUBLIC", "CONNECT")
    found = replace(WANTED, privileges=WANTED.privileges | {open_database})
    assert statements(difference(WANTED, found, password)) == [
        "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC CASCADE"
    ]


def test_a_password_never_stands_in_a_statement_or_in_the_plan() -> None:
    differs = difference(WANTED, EMPTY, password)
    assert not [it for it in statements(differs) if "the password of" in it]
    assert "SCRAM-SHA-256$" in statements(differs)[0]
    assert "SCRAM" not in differs.plan().model_dump_json()


def test_another_password_than_the_secret_is_put_right() -> None:
    role = WANTED.roles["t1_inventory"]._replace(password_is_ours=False)
    found = replace(WANTED, roles={**WANTED.roles, "t1_inventory": role})
    (statement,) = statements(difference(WANTED, found, password))
    stored = statement.split("'")[1]
    assert statement.startswith('ALTER ROLE "t1_inventory"')
    assert verifies(stored, "the password of t1_inventory")


def test_a_role_that_became_a_superuser_is_put_right() -> None:
    role = WANTED.roles["t1_inventory"]
    strong = role._replace(attributes=role.attributes - {"NOSUPERUSER"} | {"SUPERUSER"})
    found = replace(WANTED, roles={**WANTED.roles, "t1_inventory": strong})
    (statement,) = statements(difference(WANTED, found, password))
    assert "NOSUPERUSER" in statement
    assert "PASSWORD" not in statement


def test_a_services_transactions_are_bounded() -> None:
    assert WANTED.roles["t1_inventory"].settings == {
        "idle_in_transaction_session_timeout=3s",
        "transaction_timeout=5s",
    }


def test_a_lent_role_is_taken_back() -> None:
    found = replace(WANTED, memberships=frozenset({Membership("pg_write_all_data", "t1_inventory")}))
    assert statements(difference(WANTED, found, password)) == ['REVOKE "pg_write_all_data" FROM "t1_inventory" CASCADE']


def test_a_dropped_privilege_is_granted_again_and_an_extra_one_is_revoked() -> None:
    kept = WANTED.databases["t1_inventory"].privileges
    lost = Privilege("schema", "public", "t1_inventory", "USAGE")
    extra = Privilege("schema", "public", "t1_inventory", "CREATE")
    found = with_inventory(kept - {lost} | {extra})
    assert statements(difference(WANTED, found, password)) == [
        'REVOKE CREATE ON SCHEMA public FROM "t1_inventory" CASCADE',
        'GRANT USAGE ON SCHEMA public TO "t1_inventory"',
    ]


def test_the_right_to_pass_a_privilege_on_is_taken_away() -> None:
    kept = WANTED.databases["t1_inventory"].privileges
    plain = Privilege("schema", "public", "t1_inventory", "USAGE")
    found = with_inventory(kept - {plain} | {plain._replace(grantable=True)})
    assert statements(difference(WANTED, found, password)) == [
        'REVOKE USAGE ON SCHEMA public FROM "t1_inventory" CASCADE',
        'GRANT USAGE ON SCHEMA public TO "t1_inventory"',
    ]


def test_a_table_that_was_there_before_is_opened_to_its_service_and_the_auditor() -> None:
    inventory = replace(WANTED.databases["t1_inventory"], objects=frozenset({("table", "public.stock")}))
    found = replace(WANTED, databases={**WANTED.databases, "t1_inventory": inventory})
    assert statements(difference(desired_state(NAMES, found), found, password)) == [
        'GRANT SELECT ON TABLE public.stock TO "t1_auditor"',
        'GRANT DELETE, INSERT, SELECT, UPDATE ON TABLE public.stock TO "t1_inventory"',
    ]


@pytest.mark.parametrize(
    ("privilege", "statement"),
    [
        (
            Privilege("column", 'public.stock/"odd name"', "mallory", "SELECT"),
            'REVOKE SELECT ("odd name") ON TABLE public.stock FROM "mallory" CASCADE',
        ),
        (
            Privilege("default", "operator//functions", "mallory", "EXECUTE"),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "operator" REVOKE EXECUTE ON FUNCTIONS FROM "mallory" CASCADE',
        ),
        (
            Privilege("default", "operator/s/tables", "mallory", "SELECT"),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "operator" IN SCHEMA "s" REVOKE SELECT ON TABLES FROM "mallory" CASCADE',
        ),
    ],
)
def test_a_strangers_privilege_is_revoked_wherever_it_hides(privilege: Privilege, statement: str) -> None:
    found = with_inventory(WANTED.databases["t1_inventory"].privileges | {privilege})
    assert statements(difference(WANTED, found, password)) == [statement]


def test_a_database_of_another_owner_is_taken_over() -> None:
    checkout = Database("mallory", WANTED.databases["t1_checkout"].privileges)
    found = replace(WANTED, databases={**WANTED.databases, "t1_checkout": checkout})
    assert statements(difference(WANTED, found, password)) == ['ALTER DATABASE "t1_checkout" OWNER TO "operator"']


def test_a_name_can_not_leave_its_quotes() -> None:
    assert quoted('x" SUPERUSER --') == '"x"" SUPERUSER --"'


def test_a_verifier_is_the_one_of_rfc_7677() -> None:
    assert verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("stored", [None, "", "md5abc", "SCRAM-SHA-256$4096:x", verifier("another")])
def test_only_the_passwords_own_verifier_verifies(stored: str | None) -> None:
    assert not verifies(stored, "pencil")


def test_two_verifiers_of_one_password_differ_and_both_verify() -> None:
    one, two = verifier("pencil"), verifier("pencil")
    assert one != two
    assert verifies(one, "pencil")
    assert verifies(two, "pencil")
