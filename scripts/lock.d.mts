interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export function missingEntries(lock: { readonly packages: Readonly<Record<string, LockEntry>> }): Record<string, LockEntry>;
