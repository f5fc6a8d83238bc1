/** A schema as a tree to walk: what is checked before bytes are decoded, what a mismatch is explained with, what JSON is read by. */
import type { LogicalForm } from './logical-forms.ts';

export type PrimitiveName = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string';

export interface PrimitiveNode {
  readonly kind: PrimitiveName;
  readonly logical?: LogicalForm;
}

export interface FixedNode {
  readonly kind: 'fixed';
  readonly name: string;
  readonly size: number;
  readonly logical?: LogicalForm;
}

export interface EnumNode {
  readonly kind: 'enum';
  readonly name: string;
  readonly symbols: readonly string[];
}

export interface FieldNode {
  readonly name: string;
  readonly node: Node;
  readonly optional: boolean;
}

export interface RecordNode {
  readonly kind: 'record';
  readonly name: string;
  readonly fields: readonly FieldNode[];
  readonly byName: ReadonlyMap<string, FieldNode>;
}

export interface Branch {
  /** By which a wrapped value names it. */
  readonly name: string;
  readonly node: Node;
}

export interface UnionNode {
  readonly kind: 'union';
  readonly branches: readonly Branch[];
  /** Two branches look alike as values: they are written `{branch: value}`. */
  readonly wrapped: boolean;
}

export type Node =
  | PrimitiveNode
  | FixedNode
  | EnumNode
  | RecordNode
  | UnionNode
  | { readonly kind: 'array'; readonly items: Node }
  | { readonly kind: 'map'; readonly values: Node };

/** What a value of the type is in JavaScript, as far as a union can tell branches apart by it. */
export type Shape = 'null' | 'boolean' | 'number' | 'bigint' | 'text' | 'bytes' | 'array' | 'object';

export function shapeOfNode(node: Node): Shape | undefined {
  if ('logical' in node && node.logical !== undefined) return node.logical.key === 'duration' ? 'object' : 'text';
  switch (node.kind) {
    case 'null':
    case 'boolean':
    case 'bytes':
    case 'array':
      return node.kind;
    case 'int':
    case 'float':
    case 'double':
      return 'number';
    case 'long':
      return 'bigint';
    case 'string':
    case 'enum':
      return 'text';
    case 'fixed':
      return 'bytes';
    case 'record':
    case 'map':
      return 'object';
    case 'union':
      return undefined;
  }
}

export function shapeOfValue(value: unknown): Shape | undefined {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'boolean':
    case 'number':
    case 'bigint':
      return typeof value as Shape;
    case 'string':
      return 'text';
    case 'object':
      if (value instanceof Uint8Array) return 'bytes';
      if (value instanceof Date) return 'text';
      return Array.isArray(value) ? 'array' : 'object';
    default:
      return undefined;
  }
}

/** What is expected, for sentences. */
export function described(node: Node): string {
  if ('logical' in node && node.logical !== undefined) return node.logical.what;
  switch (node.kind) {
    case 'null':
      return 'null';
    case 'boolean':
      return 'true or false';
    case 'int':
      return 'a whole number of 32 bits';
    case 'long':
      return 'a whole number of 64 bits (a bigint)';
    case 'float':
    case 'double':
      return 'a number';
    case 'bytes':
      return 'bytes';
    case 'string':
      return 'a string';
    case 'fixed':
      return `${node.size} bytes (${node.name})`;
    case 'enum':
      return `one of ${node.symbols.slice(0, 20).join(', ')}${node.symbols.length > 20 ? ', …' : ''}`;
    case 'record':
      return `an object (${node.name})`;
    case 'array':
      return 'an array';
    case 'map':
      return 'an object (a map)';
    case 'union':
      return node.branches
        .map(({ name, node: branch }) =>
          node.wrapped && branch.kind !== 'null' ? `{"${name}": ${described(branch)}}` : described(branch),
        )
        .join(' or ');
  }
}

/** A value or bytes that do not follow the schema. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

/** @param path of field names, indexes and keys, from the outermost. */
export function mismatch(path: readonly (string | number)[], what: string): Mismatch {
  const steps = path.map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`));
  const place =
    steps.length <= stepsShown ? steps.join('') : `${steps.slice(0, stepsShown).join('')}…${steps.at(-1) ?? ''}`;
  return new Mismatch(place === '' ? what : `field "${place}": ${what}`);
}

/** Of a path in a sentence. */
const stepsShown = 12;

export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string')
    return `the string ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return `${value} (${typeof value})`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
