/** Says where a value does not follow its schema, before anything is written. */
import { limits } from '@tributary/model';
import {
  type Branch,
  described,
  type Mismatch,
  mismatch,
  type Node,
  type RecordNode,
  shapeOfNode,
  shapeOfValue,
  shown,
  type UnionNode,
} from './nodes.ts';

type Path = (string | number)[];

/** @throws Mismatch naming the field, what was expected and what is there. */
export function checkValue(node: Node, value: unknown, path: Path = []): void {
  if (path.length > limits.avroDepth) throw mismatch(path, `values are nested deeper than ${limits.avroDepth}`);
  if ('logical' in node && node.logical !== undefined) {
    try {
      node.logical.toRaw(value);
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown;
      throw mismatch(path, `${thrown.message}, ${shown(value)} is there`);
    }
    return;
  }
  switch (node.kind) {
    case 'record':
      return checkRecord(node, value, path);
    case 'union':
      return checkUnion(node, value, path);
    case 'array':
      if (!Array.isArray(value)) throw unexpected(node, value, path);
      for (let index = 0; index < value.length; index++) inside(path, index, node.items, value[index]);
      return;
    case 'map':
      if (shapeOfValue(value) !== 'object') throw unexpected(node, value, path);
      for (const [key, item] of Object.entries(value as object)) inside(path, key, node.values, item);
      return;
    default:
      if (!fits(node, value)) throw unexpected(node, value, path);
  }
}

function inside(path: Path, step: string | number, node: Node, value: unknown): void {
  path.push(step);
  checkValue(node, value, path);
  path.pop();
}

function fits(node: Exclude<Node, RecordNode | UnionNode>, value: unknown): boolean {
  switch (node.kind) {
    case 'int':
      return typeof value === 'number' && value === (value | 0);
    case 'long':
      return typeof value === 'bigint' && value === BigInt.asIntN(64, value);
    case 'enum':
      return typeof value === 'string' && node.symbols.includes(value);
    case 'fixed':
      return value instanceof Uint8Array && value.length === node.size;
    default:
      return shapeOfValue(value) === shapeOfNode(node) && !(value instanceof Date);
  }
}

function checkRecord(node: RecordNode, value: unknown, path: Path): void {
  if (shapeOfValue(value) !== 'object') throw unexpected(node, value, path);
  const record = value as Readonly<Record<string, unknown>>;
  for (const field of node.fields) {
    const there = record[field.name];
    if (there === undefined && field.optional) continue;
    if (there === undefined)
      throw mismatch([...path, field.name], `it is missing; ${described(field.node)} is expected`);
    inside(path, field.name, field.node, there);
  }
  for (const name of Object.keys(record)) {
    if (!node.byName.has(name) && record[name] !== undefined) throw unknownField(node, name, path);
  }
}

export function unknownField(node: RecordNode, name: string, path: Path): Mismatch {
  const known = node.fields.map((field) => field.name).join(', ');
  return mismatch([...path, name], `${node.name} has no such field; its fields are ${known || 'none'}`);
}

function checkUnion(node: UnionNode, value: unknown, path: Path): void {
  const branch = branchOf(node, value);
  if (branch === undefined) throw unexpected(node, value, path);
  checkValue(branch.node, branch.value, path);
}

function branchOf(node: UnionNode, value: unknown): { readonly node: Node; readonly value: unknown } | undefined {
  const shape = shapeOfValue(value);
  const byShape = node.branches.find((branch) => shapeOfNode(branch.node) === shape);
  if (!node.wrapped || shape === 'null') return byShape === undefined ? undefined : { node: byShape.node, value };
  const wrapped = wrappedBranch(node.branches, value);
  return wrapped === undefined ? undefined : { node: wrapped.branch.node, value: wrapped.value };
}

/** `{branch: value}` */
export function wrappedBranch(
  branches: readonly Branch[],
  value: unknown,
): { readonly branch: Branch; readonly value: unknown } | undefined {
  if (shapeOfValue(value) !== 'object') return undefined;
  const [entry, another] = Object.entries(value as object);
  if (entry === undefined || another !== undefined) return undefined;
  const branch = branches.find(({ name }) => name === entry[0]);
  return branch === undefined ? undefined : { branch, value: entry[1] as unknown };
}

export function unexpected(node: Node, value: unknown, path: Path): Mismatch {
  return mismatch(path, `${described(node)} is expected, ${shown(value)} is there`);
}
