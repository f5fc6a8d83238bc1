export * from './gen/tributary/v1alpha/admin.ts';
export * from './gen/tributary/v1alpha/broker.ts';
export * from './gen/tributary/v1alpha/common.ts';
export * from './gen/tributary/v1alpha/controller.ts';
export * from './gen/tributary/v1alpha/coordinator.ts';
export * from './gen/tributary/v1alpha/group.ts';
export * from './gen/tributary/v1alpha/journal.ts';
export * from './gen/tributary/v1alpha/log.ts';
export * from './gen/tributary/v1alpha/metadata.ts';
export * from './gen/tributary/v1alpha/record.ts';
export * from './gen/tributary/v1alpha/replication.ts';
export * from './gen/tributary/v1alpha/state.ts';
export * from './methods.ts';
export { encodeOnce } from './record-codecs.ts';
export { Descriptors } from './descriptors.ts';
export {
  healthMethods,
  type HealthCheckResponse,
  reflectionMethods,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServingStatus,
} from './standard-methods.ts';
export { errorDetails } from './error-details.ts';
