/** What reflection tells of the API: the files of proto/ as descriptors, found by name or by anything that they define. */
import { descriptorSet } from './gen/descriptor-set.ts';
import { ProtobufReader } from './protobuf-reader.ts';

interface DescribedFile {
  readonly name: string;
  /** A google.protobuf.FileDescriptorProto. */
  readonly bytes: Uint8Array;
  readonly needs: readonly string[];
  /** Full names of all that it defines. */
  readonly symbols: readonly string[];
  readonly messages: readonly string[];
}

export class Descriptors {
  readonly #files = new Map<string, DescribedFile>();
  readonly #bySymbol = new Map<string, DescribedFile>();
  readonly #messages = new Set<string>();

  constructor() {
    const from = new ProtobufReader(Buffer.from(descriptorSet, 'base64'));
    while (from.more) {
      const tag = from.tag();
      if (tag === 10) this.#add(fileOf(from.bytes()));
      else from.skip(tag);
    }
  }

  #add(file: DescribedFile): void {
    this.#files.set(file.name, file);
    for (const symbol of file.symbols) this.#bySymbol.set(symbol, file);
    for (const message of file.messages) this.#messages.add(message);
  }

  /** The file and those that it needs, itself first; undefined: there is none of that name. */
  file(name: string): readonly Uint8Array[] | undefined {
    const file = this.#files.get(name);
    return file && this.#withNeeds(file);
  }

  /** The same of the file that defines a service, method, message, field, enum or enum value. */
  fileOf(symbol: string): readonly Uint8Array[] | undefined {
    const file = this.#bySymbol.get(symbol);
    return file && this.#withNeeds(file);
  }

  isMessage(symbol: string): boolean {
    return this.#messages.has(symbol);
  }

  #withNeeds(first: DescribedFile): readonly Uint8Array[] {
    const found = new Set([first]);
    // A set is walked in the order in which it grows, to its end.
    for (const { needs } of found) {
      for (const name of needs) {
        const needed = this.#files.get(name);
        if (needed !== undefined) found.add(needed);
      }
    }
    return [...found].map(({ bytes }) => bytes);
  }
}

/** Of FileDescriptorProto: name 1, package 2, dependency 3, message_type 4, enum_type 5, service 6. */
function fileOf(bytes: Uint8Array): DescribedFile {
  const from = new ProtobufReader(bytes);
  let name = '';
  let scope = '';
  const needs: string[] = [];
  const definitions: { readonly kind: 'message' | 'enum' | 'service'; readonly bytes: Uint8Array }[] = [];
  while (from.more) {
    const tag = from.tag();
    if (tag === 10) name = from.string();
    else if (tag === 18) scope = from.string();
    else if (tag === 26) needs.push(from.string());
    else if (tag === 34) definitions.push({ kind: 'message', bytes: from.bytes() });
    else if (tag === 42) definitions.push({ kind: 'enum', bytes: from.bytes() });
    else if (tag === 50) definitions.push({ kind: 'service', bytes: from.bytes() });
    else from.skip(tag);
  }
  const symbols: string[] = [];
  const messages: string[] = [];
  for (const { kind, bytes: definition } of definitions) {
    if (kind === 'message') readMessage(definition, scope, symbols, messages);
    // A service's methods and an enum's values are both field 2; the values belong to the enum's own scope.
    else readNamed(definition, scope, kind === 'service' ? 'inside' : 'beside', symbols);
  }
  return { name, bytes, needs, symbols, messages };
}

/** Of DescriptorProto: name 1, field 2, nested_type 3, enum_type 4, oneof_decl 8. */
function readMessage(bytes: Uint8Array, scope: string, symbols: string[], messages: string[]): void {
  const from = new ProtobufReader(bytes);
  const nested: Uint8Array[] = [];
  const enums: Uint8Array[] = [];
  const fields: string[] = [];
  let full = scope;
  while (from.more) {
    const tag = from.tag();
    if (tag === 10) full = within(scope, from.string());
    else if (tag === 18 || tag === 66) fields.push(nameOf(from.bytes()));
    else if (tag === 26) nested.push(from.bytes());
    else if (tag === 34) enums.push(from.bytes());
    else from.skip(tag);
  }
  symbols.push(full, ...fields.map((field) => within(full, field)));
  messages.push(full);
  for (const each of nested) readMessage(each, full, symbols, messages);
  for (const each of enums) readNamed(each, full, 'beside', symbols);
}

/** Something with a name 1 and named parts 2. */
function readNamed(bytes: Uint8Array, scope: string, parts: 'inside' | 'beside', symbols: string[]): void {
  const from = new ProtobufReader(bytes);
  const names: string[] = [];
  let full = scope;
  while (from.more) {
    const tag = from.tag();
    if (tag === 10) full = within(scope, from.string());
    else if (tag === 18) names.push(nameOf(from.bytes()));
    else from.skip(tag);
  }
  symbols.push(full, ...names.map((name) => within(parts === 'inside' ? full : scope, name)));
}

function nameOf(bytes: Uint8Array): string {
  const from = new ProtobufReader(bytes);
  while (from.more) {
    const tag = from.tag();
    if (tag === 10) return from.string();
    from.skip(tag);
  }
  return '';
}

const within = (scope: string, name: string): string => (scope === '' ? name : `${scope}.${name}`);
