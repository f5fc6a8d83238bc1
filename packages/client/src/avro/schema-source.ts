// pure
/**
 * Where schemas come from: the seam for a schema registry. Everything here is synchronous, because serialising is: whoever must ask a server does
 * so before (a producer's schemas when it is made, a reader's unknown ids before it hands the batch on) and answers from what it has then.
 *
 * A registry would bring two things: a {@link SchemaSource} that knows many schemas by their ids, and a {@link SchemaFraming} that writes the id in
 * front of each value (Confluent's: a zero byte, the id in four bytes, big-endian). The serializer itself knows neither form.
 */

/** An Avro schema as JSON text, or as that text parsed. */
export type AvroSchema = string | object;

/** What a source calls a schema; it never means another one. */
export type SchemaId = number;

export interface SchemaSource {
  /** The schema with which values for the topic are written. @throws when none is known: the record is refused with that message. */
  idFor(topic: string): SchemaId;
  /** @throws when it has not been resolved. */
  schema(id: SchemaId): AvroSchema;
}

/** How a value on the wire says which schema it was written with. */
export interface SchemaFraming {
  frame(id: SchemaId, value: Uint8Array): Uint8Array;
  /** @throws when the bytes are not framed so. @returns the value's bytes as a view. */
  unframe(bytes: Uint8Array, topic: string): { readonly id: SchemaId; readonly value: Uint8Array };
}

const onlyId: SchemaId = 0;

/** One schema for all topics, known beforehand. */
export function givenSchema(schema: AvroSchema): SchemaSource {
  return { idFor: () => onlyId, schema: () => schema };
}

/** The value alone: both sides know the schema. */
export function unframed(source: SchemaSource): SchemaFraming {
  return { frame: (_id, value) => value, unframe: (value, topic) => ({ id: source.idFor(topic), value }) };
}
