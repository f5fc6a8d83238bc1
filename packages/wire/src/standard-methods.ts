/** gRPC's own services, which any client may expect: health, and reflection in its two versions, whose messages are the same. */
import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthDefinition,
} from './gen/grpc/health/v1/health.ts';
import {
  ServerReflectionDefinition,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from './gen/grpc/reflection/v1/reflection.ts';
import { stream, unary } from './generated-methods.ts';

export { type HealthCheckResponse, type ServerReflectionRequest, type ServerReflectionResponse, ServingStatus };

export const healthMethods = {
  check: unary(HealthDefinition, HealthDefinition.methods.check),
  list: unary(HealthDefinition, HealthDefinition.methods.list),
  watch: stream(HealthDefinition, HealthDefinition.methods.watch),
} as const;

const reflection = stream(ServerReflectionDefinition, ServerReflectionDefinition.methods.serverReflectionInfo);

export const reflectionMethods = [
  reflection,
  { ...reflection, path: reflection.path.replace('.v1.', '.v1alpha.') },
] as const;
