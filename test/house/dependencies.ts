/** A package.json, as far as its dependencies go. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** Packages that a source names in an import of any kind, types included, or in a path below node_modules. */
export function packagesNamed(source: string): Set<string> {
  const names = new Set<string>()
  const patterns = [
    /\b(?:from|import|import\()\s*['"]([@a-z0-9][\w@./-]*)['"]/g,
    /\b(?:require|require\.resolve|import\.meta\.resolve)\(\s*['"]([@a-z0-9][\w@./-]*)['"]/g,
    /node_modules\/((?:@[\w.-]+\/)?[\w.-]+)/g,
  ]
  for (const [, specifier = ''] of patterns.flatMap((pattern) => [...source.matchAll(pattern)])) {
    const [scope = '', name] = specifier.split('/')
    names.add(scope.startsWith('@') ? `${scope}/${name}` : scope)
  }
  return names
}

/** What is declared and used by nobody, and what is used and not declared where it has to be. */
export function dependencyFaults(
  manifest: Manifest,
  /** Path to source. */
  sources: ReadonlyMap<string, string>,
  /** Packages that no file imports, with the reason why they are there. */
  excused: Readonly<Record<string, string>>,
): string[] {
  const shipped = new Set<string>()
  const used = new Set<string>()
  for (const [file, source] of sources) {
    const ships = /^(server|hooks|db|web)\//.test(file) && !/\.test\.ts$|contract\.ts$/.test(file)
    for (const name of packagesNamed(source)) {
      used.add(name)
      if (ships) shipped.add(name)
    }
  }
  const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = manifest
  const runtime = { ...dependencies, ...optionalDependencies }
  const declared = { ...runtime, ...devDependencies }
  const idle = (name: string): boolean => excused[name] === undefined
  return [
    ...Object.keys(runtime)
      .filter((name) => !shipped.has(name) && idle(name))
      .map((name) => `${name}: the service does not use it`),
    ...Object.keys(devDependencies)
      .filter((name) => !used.has(name) && idle(name))
      .map((name) => `${name}: nothing uses it`),
    ...[...used].filter((name) => declared[name] === undefined).map((name) => `${name}: used and not declared`),
    ...Object.keys(excused)
      .filter((name) => declared[name] === undefined)
      .map((name) => `${name}: excused and not there`),
    ...Object.entries(declared)
      .filter(([, version]) => !/^\d+\.\d+\.\d+/.test(version))
      .map(([name]) => `${name}: not pinned`),
  ]
}
