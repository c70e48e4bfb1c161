"""A project of seventeen objects that need each other, and what happens to them in time."""

from __future__ import annotations

TABLES = """\
CREATE SCHEMA billing;
CREATE TABLE billing.customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE billing.orders (
    id int PRIMARY KEY, customer int REFERENCES billing.customers, gross numeric NOT NULL,
    owner text NOT NULL DEFAULT 'nobody', day date NOT NULL DEFAULT '2026-01-01', changed date);
ALTER TABLE billing.orders ENABLE ROW LEVEL SECURITY;
"""
# Their names are in no order that a database would accept.
FIRST = {
    "amount": "CREATE DOMAIN billing.amount AS numeric CHECK (VALUE >= 0);\n",
    "vat": """\
-- What the state gets.
CREATE OR REPLACE FUNCTION billing.vat(gross numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$ SELECT gross * 0.19 $$;
COMMENT ON FUNCTION billing.vat(numeric) IS 'as of 2026';
""",
    "a_net": """\
CREATE FUNCTION billing.net(gross numeric) RETURNS billing.amount
LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT gross - billing.vat(gross); END;
""",
    "totals/orders": """\
CREATE VIEW billing.order_totals AS
SELECT id, customer, owner, day, gross, billing.vat(gross) AS vat FROM billing.orders;
GRANT SELECT ON billing.order_totals TO lifecycle_app;
""",
    "totals/customers": """\
CREATE VIEW billing.customer_totals AS
SELECT customer, sum(gross) AS gross, sum(vat) AS vat FROM billing.order_totals GROUP BY 1;
""",
    "totals/daily": """\
CREATE MATERIALIZED VIEW billing.daily AS
SELECT day, sum(vat) AS vat FROM billing.order_totals GROUP BY day;
CREATE UNIQUE INDEX daily_day ON billing.daily (day);
""",
    "stamp": """\
CREATE FUNCTION billing.stamp() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN NEW.changed := NEW.day; RETURN NEW; END$$;
""",
    "stamp_orders": """\
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON billing.orders
FOR EACH ROW EXECUTE FUNCTION billing.stamp();
COMMENT ON TRIGGER stamp ON billing.orders IS 'who knows when';
""",
    "refuse": """\
CREATE FUNCTION billing.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE 'no'; END$$;
CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON billing.customers DEFERRABLE
FOR EACH ROW EXECUTE FUNCTION billing.refuse();
""",
    "close_day": """\
CREATE PROCEDURE billing.close_day(day date) LANGUAGE plpgsql AS
$$BEGIN REFRESH MATERIALIZED VIEW billing.daily; END$$;
""",
    "a_product": """\
CREATE AGGREGATE billing.product(numeric) (SFUNC = billing.mul, STYPE = numeric, INITCOND = 1);
""",
    "mul": """\
CREATE FUNCTION billing.mul(a numeric, b numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS 'SELECT a * b';
""",
    "a_policy": """\
CREATE POLICY own_orders ON billing.orders TO lifecycle_app USING (billing.can_see(owner));
""",
    "can_see": """\
CREATE FUNCTION billing.can_see(owner text) RETURNS boolean
LANGUAGE sql STABLE AS 'SELECT owner = current_user';
REVOKE EXECUTE ON FUNCTION billing.can_see(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing.can_see(text) TO lifecycle_app;
""",
    "visible": """\
CREATE VIEW billing.visible WITH (security_barrier) AS
SELECT * FROM billing.order_totals WHERE billing.can_see(owner);
""",
    "note_ddl": """\
CREATE FUNCTION billing.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM tg_tag; END$$;
CREATE EVENT TRIGGER lifecycle_ddl ON ddl_command_end WHEN TAG IN ('CREATE SERVER')
EXECUTE FUNCTION billing.note_ddl();
""",
}
WIDER_VAT = """\
-- What the state gets.
CREATE OR REPLACE FUNCTION billing.vat(gross numeric, rate numeric DEFAULT 0.19)
RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT gross * rate $$;
"""
CHANGES: dict[str, dict[str, str | None]] = {
    "body": {
        "mul": FIRST["mul"].replace("a * b", "b * a"),
        "a_policy": FIRST["a_policy"].replace("TO lifecycle_app ", ""),
        "totals/daily": FIRST["totals/daily"].replace("sum(vat)", "max(vat)"),
    },
    "signature": {"vat": WIDER_VAT},
    "return type": {
        "vat": WIDER_VAT.replace("RETURNS numeric", "RETURNS real").replace(
            "gross * rate", "(gross * rate)::real"
        ),
        "mul": FIRST["mul"].replace("a numeric", "x numeric").replace("a * b", "x * b"),
    },
    "columns": {
        "totals/orders": FIRST["totals/orders"].replace("owner, day, ", "day, owner, "),
        "totals/customers": FIRST["totals/customers"].replace("sum(gross) AS gross, ", ""),
    },
    "rename": {
        "close_day": FIRST["close_day"].replace("close_day", "close_period"),
        "totals/customers": None,
        "totals/clients": FIRST["totals/customers"].replace("customer_totals", "clients"),
    },
    "drop": {"a_policy": None, "can_see": None, "visible": None, "refuse": None},
}
