export * from './broker-config.ts';
export * from './errors.ts';
export * from './ids.ts';
export * from './internal-topics.ts';
export * from './limits.ts';
export * from './memory-budget.ts';
export * from './topic-config.ts';
export * from './version.ts';
