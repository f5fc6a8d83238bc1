export * from './gen/tributary/v1alpha/admin.ts';
export * from './gen/tributary/v1alpha/common.ts';
export * from './gen/tributary/v1alpha/controller.ts';
export * from './gen/tributary/v1alpha/log.ts';
export * from './gen/tributary/v1alpha/metadata.ts';
export * from './gen/tributary/v1alpha/state.ts';
export * from './methods.ts';
