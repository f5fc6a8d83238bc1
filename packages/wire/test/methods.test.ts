import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  AdminServiceDefinition,
  BrokerServiceDefinition,
  ControllerServiceDefinition,
  CoordinatorServiceDefinition,
  GroupServiceDefinition,
  LogServiceDefinition,
  MetadataServiceDefinition,
  methods,
  RecordServiceDefinition,
  ReplicationServiceDefinition,
} from '../src/index.ts';

it('every method of every service is in the table, as the kind of call that it is', () => {
  const services = [
    AdminServiceDefinition,
    BrokerServiceDefinition,
    ControllerServiceDefinition,
    CoordinatorServiceDefinition,
    GroupServiceDefinition,
    LogServiceDefinition,
    MetadataServiceDefinition,
    RecordServiceDefinition,
    ReplicationServiceDefinition,
  ];
  const defined = services.flatMap((service) =>
    Object.values(service.methods).map((method) => ({
      path: `/${service.fullName}/${method.name}`,
      kind: method.responseStream ? 'stream' : 'unary',
    })),
  );
  const listed = Object.values(methods).map(({ path, kind }) => ({ path, kind }));
  const byPath = (a: { path: string }, b: { path: string }): number => (a.path < b.path ? -1 : 1);
  assert.deepEqual(listed.sort(byPath), defined.sort(byPath));
});
