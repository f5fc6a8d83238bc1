"""Writes avro.json: values as fastavro encodes them. See README.md."""

import datetime
import decimal
import io
import json
import sys
import uuid

import fastavro

UTC = datetime.timezone.utc
D = decimal.Decimal


def record(*fields, name="R"):
    return {"type": "record", "name": name, "fields": [dict(zip(("name", "type", "default"), field)) for field in fields]}


NODE = {
    "type": "record",
    "name": "Node",
    "namespace": "tree",
    "fields": [{"name": "value", "type": "long"}, {"name": "next", "type": ["null", "Node"], "default": None}],
}
SUIT = {"type": "enum", "name": "Suit", "symbols": ["SPADES", "HEARTS"]}

# name, schema, value for fastavro, the same as JSON text
WRITTEN = [
    ("null", "null", None, "null"),
    ("true", "boolean", True, "true"),
    ("int least", "int", -(2**31), "-2147483648"),
    ("int most", "int", 2**31 - 1, "2147483647"),
    *[(f"long {value}", "long", value, str(value)) for value in
      (0, -1, 1, 63, 64, -64, -65, 2**27, 2**28 - 1, 2**31, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**62, -(2**35))],
    ("float", "float", 1.5, "1.5"),
    ("double", "double", -1.7976931348623157e308, "-1.7976931348623157e308"),
    ("bytes", "bytes", bytes(range(256)), json.dumps("".join(map(chr, range(256))))),
    ("string", "string", "naïve – 🜁", json.dumps("naïve – 🜁")),
    ("fixed", {"type": "fixed", "name": "F", "size": 3}, b"\x00\xff\x10", '"\\u0000\\u00ff\\u0010"'),
    ("enum", SUIT, "HEARTS", '"HEARTS"'),
    ("array", {"type": "array", "items": "long"}, [1, -2, 2**40], "[1,-2,1099511627776]"),
    ("empty array", {"type": "array", "items": "string"}, [], "[]"),
    ("map", {"type": "map", "values": "int"}, {"one": 1, "two": 2}, '{"one":1,"two":2}'),
    ("optional, absent", ["null", "long"], None, "null"),
    ("optional, present", ["null", "long"], 5, "5"),
    ("union by shape", ["string", "long", "boolean", "null"], True, "true"),
    ("union of numbers", ["int", "double"], ("double", 2.0), '{"double":2}'),
    ("record", record(("name", "string"), ("age", ["null", "int"]), ("tags", {"type": "array", "items": "string"})),
     {"name": "Ada", "age": 36, "tags": ["a", "b"]}, '{"name":"Ada","age":36,"tags":["a","b"]}'),
    ("recursive", NODE, {"value": 1, "next": {"value": 2**60, "next": None}},
     '{"value":1,"next":{"value":1152921504606846976,"next":null}}'),
    ("union of records", [record(("a", "int"), name="A"), record(("b", "int"), name="B")], ("B", {"b": 7}), '{"B":{"b":7}}'),
    *[(f"decimal bytes {text}", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}, D(text), f'"{text}"')
      for text in ("0.00", "1.27", "1.28", "-1.27", "-1.29", "12345678.90", "-99999999.99")],
    ("decimal fixed", {"type": "fixed", "name": "Money", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 3},
     D("-1.500"), '"-1.500"'),
    ("uuid", {"type": "string", "logicalType": "uuid"}, uuid.UUID("123e4567-e89b-12d3-a456-426614174000"),
     '"123e4567-e89b-12d3-a456-426614174000"'),
    ("uuid fixed", {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"},
     uuid.UUID("123e4567-e89b-12d3-a456-426614174000").bytes, '"123e4567-e89b-12d3-a456-426614174000"'),
    ("date", {"type": "int", "logicalType": "date"}, datetime.date(2026, 2, 28), '"2026-02-28"'),
    ("date before 1970", {"type": "int", "logicalType": "date"}, datetime.date(1969, 12, 31), '"1969-12-31"'),
    ("time-millis", {"type": "int", "logicalType": "time-millis"}, datetime.time(23, 59, 58, 7000), '"23:59:58.007"'),
    ("time-micros", {"type": "long", "logicalType": "time-micros"}, datetime.time(1, 2, 3, 456789), '"01:02:03.456789"'),
    ("timestamp-millis", {"type": "long", "logicalType": "timestamp-millis"},
     datetime.datetime(2026, 1, 31, 12, 0, 0, 123000, UTC), '"2026-01-31T12:00:00.123Z"'),
    ("timestamp-micros", {"type": "long", "logicalType": "timestamp-micros"},
     datetime.datetime(1901, 1, 31, 12, 0, 0, 123457, UTC), '"1901-01-31T12:00:00.123457Z"'),
    ("local-timestamp-millis", {"type": "long", "logicalType": "local-timestamp-millis"},
     datetime.datetime(2026, 3, 29, 2, 30, 0, 5000), '"2026-03-29T02:30:00.005"'),
    ("local-timestamp-micros", {"type": "long", "logicalType": "local-timestamp-micros"},
     datetime.datetime(1960, 3, 29, 2, 30, 0, 5), '"1960-03-29T02:30:00.000005"'),
    ("optional timestamp", ["null", {"type": "long", "logicalType": "timestamp-millis"}],
     datetime.datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00.000Z"'),
]

# name, writer's schema, reader's schema, value for fastavro, what is read as JSON text
RESOLVED = [
    ("int as long", "int", "long", 7, "7"),
    ("long as double", "long", "double", 7, "7"),
    ("long as float", "long", "float", 3, "3"),
    ("float as double", "float", "double", 1.5, "1.5"),
    ("string as bytes", "string", "bytes", "ab", '"ab"'),
    ("value into a union", "int", ["null", "long"], 7, "7"),
    ("union as its only branch", ["long"], "long", 7, "7"),
    ("fields reordered, dropped and added", record(("a", "int"), ("gone", "string"), ("b", "string")),
     record(("b", "string"), ("new", "long", 2**60), ("a", "long")), {"a": 1, "gone": "x", "b": "y"},
     '{"b":"y","new":1152921504606846976,"a":1}'),
    ("field by its alias", record(("old", "int")),
     {"type": "record", "name": "R", "fields": [{"name": "new", "aliases": ["old"], "type": "int"}]}, {"old": 4}, '{"new":4}'),
    ("unknown symbol by the enum's default", SUIT, {**SUIT, "symbols": ["SPADES", "CLUBS"], "default": "CLUBS"}, "HEARTS", '"CLUBS"'),
    ("items promoted", {"type": "array", "items": "int"}, {"type": "array", "items": "double"}, [1, 2], "[1,2]"),
]


def encoded(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue().hex()


def main():
    written = [{"name": name, "schema": schema, "json": text, "hex": encoded(schema, value)} for name, schema, value, text in WRITTEN]
    resolved = [
        {"name": name, "schema": schema, "reader": reader, "json": text, "hex": encoded(schema, value)}
        for name, schema, reader, value, text in RESOLVED
    ]
    for case, (_, schema, reader, _, text) in zip(resolved, RESOLVED):
        read = fastavro.schemaless_reader(io.BytesIO(bytes.fromhex(case["hex"])), fastavro.parse_schema(schema), fastavro.parse_schema(reader))
        if isinstance(read, datetime.date):
            read = read.isoformat()
        if isinstance(read, bytes):
            read = read.decode("latin-1")
        if read != json.loads(text):
            raise AssertionError(f"{case['name']}: fastavro reads {read!r}, {text} was expected")
    json.dump({"written": written, "resolved": resolved}, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
