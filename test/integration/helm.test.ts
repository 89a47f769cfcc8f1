/**
 * The chart: linted, rendered over a matrix of values, and what comes out checked against Kubernetes' own schemas, by
 * what it must say, and by the service's own configuration.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parseEnv } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { secretSettings, settingDefinitions } from '../../scripts/chart-schema.ts'
import { loadConfig } from '../../server/config/load.ts'
import { SETTINGS, type Setting } from '../../server/config/settings.ts'
import { parseDockerfile } from '../support/image/dockerfile.ts'
import { run } from '../support/provision/command.ts'
import { helmProgram, type KubernetesValidate, kubernetesValidate } from '../support/provision/tools.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CHART = join(ROOT, 'helm')
const KUBERNETES = ['1.29', '1.34', '1.37']
const SECRET_ENV = { DB_PASSWORD: 'p', JWT_SECRET: 'x'.repeat(32) }

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels: Values; readonly annotations?: Values }
  // what follows depends on the kind; the tests reach into it by path
  readonly [key: string]: unknown
}
type Values = Readonly<Record<string, unknown>>

let helm: string
let validate: KubernetesValidate
let dir: string

/** The value at a path like `spec.template.spec.containers.0.env`. */
function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => {
    if (inner === null || typeof inner !== 'object') return undefined
    return Object.entries(inner).find(([name]) => name === key)?.[1]
  }, value)
}

async function valuesFile(name: string, values: Values): Promise<string> {
  const path = join(dir, `${name}.values.json`)
  await writeFile(path, JSON.stringify(values))
  return path
}

async function renderText(name: string, values: Values): Promise<string> {
  return run(helm, ['template', name, CHART, '--namespace', 'uploads', '-f', await valuesFile(name, values)])
}

function manifestsIn(text: string): Manifest[] {
  return parseAllDocuments(text).map((document): Manifest => document.toJS())
}

async function render(name: string, values: Values): Promise<(kind: string, name?: string) => Manifest> {
  const manifests = manifestsIn(await renderText(name, values))
  return (kind, wanted) => {
    const found = manifests.filter((one) => one.kind === kind && (wanted === undefined || one.metadata.name === wanted))
    assert.equal(found.length, 1, `${found.length} of ${kind} ${wanted ?? ''}`)
    assert.ok(found[0])
    return found[0]
  }
}

const CONFIG = {
  S3_BUCKET: 'uploads',
  DATABASE_URL: 'postgres://upload@postgres:5432/uploads',
  REDIS_URL: 'redis+sentinel://a:26379,b:26379/main/0',
  AUTH_MODE: 'jwt',
}

/** Release name to values; the names tell the cases apart in what the validator says. */
const MATRIX: Readonly<Record<string, Values>> = {
  plain: {},
  usual: { config: CONFIG, existingSecrets: ['upload-secrets'] },
  everything: {
    fullnameOverride: 'uploads',
    image: { repository: 'registry.example.com/upload', digest: `sha256:${'a'.repeat(64)}`, pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'pull' }],
    config: { ...CONFIG, PORT: 8080, MAX_FILE_SIZE: 5497558138880, SHUTDOWN_TIMEOUT: '1m' },
    existingSecrets: ['a', 'b'],
    secretKeys: { DB_PASSWORD: { name: 'postgres', key: 'password' } },
    extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/ca/ca.pem' }],
    extraVolumes: [{ name: 'ca', configMap: { name: 'ca' } }],
    extraVolumeMounts: [{ name: 'ca', mountPath: '/ca', readOnly: true }],
    server: {
      podAnnotations: { a: 'b' },
      podLabels: { team: 'x' },
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'uploads', operator: 'Exists', effect: 'NoSchedule' }],
      affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
      priorityClassName: 'high',
      maxSurge: '50%',
    },
    worker: { podAnnotations: { c: 'd' }, topologySpreadConstraints: [], priorityClassName: 'low' },
    ingress: {
      enabled: true,
      className: 'nginx',
      hosts: ['uploads.example.com', 'up.example.com'],
      tlsSecretName: 'tls',
      annotations: { 'cert-manager.io/cluster-issuer': 'le', 'nginx.ingress.kubernetes.io/proxy-read-timeout': '300' },
    },
    serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/uploads' } },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    service: { type: 'LoadBalancer', annotations: { e: 'f' } },
  },
  haproxy: {
    ingress: {
      enabled: true,
      controller: 'haproxy',
      className: 'haproxy',
      hosts: ['uploads.example.com'],
      path: '/up',
    },
  },
  small: {
    server: { replicaCount: 1, preStopSeconds: 0, terminationGracePeriodSeconds: 20 },
    config: { WORKER_IN_SERVER: true },
    worker: { enabled: false },
    autoscaling: { enabled: false },
    podDisruptionBudget: { enabled: false },
    migration: { enabled: false },
    serviceAccount: { create: false, name: 'uploads' },
    ingress: { enabled: true, controller: 'none', hosts: ['*.example.com'] },
  },
  cpuonly: { autoscaling: { targetMemoryUtilizationPercentage: null, maxReplicas: 200 } },
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'helm-'))
  const report = (line: string): void => console.log(line)
  const [program, validator] = await Promise.all([helmProgram(report), kubernetesValidate(report)])
  assert.ok(program && validator, 'helm and kubernetes-validate need npm and Python 3 with pip')
  helm = program
  validate = validator
})

after(() => rm(dir, { recursive: true, force: true }))

describe('every set of values', () => {
  test('lints without a warning and renders what Kubernetes takes, without a field that it does not know', async () => {
    const files: string[] = []
    for (const [name, values] of Object.entries(MATRIX)) {
      await run(helm, ['lint', '--strict', CHART, '-f', await valuesFile(name, values)])
      const known = manifestsIn(await renderText(name, values)).filter(({ kind }) => kind !== 'ServiceMonitor')
      const file = join(dir, `${name}.yaml`)
      await writeFile(file, known.map((one) => JSON.stringify(one)).join('\n---\n'))
      files.push(file)
    }
    for (const version of KUBERNETES) await validate.check(files, version)
  })

  test('the validator would tell', async () => {
    const file = join(dir, 'wrong.yaml')
    const text = await renderText('plain', {})
    await writeFile(file, text.replace('readinessProbe:', 'readynessProbe:'))
    await assert.rejects(validate.check([file], '1.34'), /readynessProbe/)
  })

  test('every container is confined, and no pod gets a token it does not use', async () => {
    const user = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
      .at(-1)
      ?.steps.find((step) => step.kind === 'user')
    for (const [name, values] of Object.entries(MATRIX)) {
      const pods = manifestsIn(await renderText(name, values)).filter(
        ({ kind }) => kind === 'Deployment' || kind === 'Job',
      )
      assert.ok(pods.length > 0)
      for (const manifest of pods) {
        const pod = at(manifest, 'spec.template.spec')
        assert.equal(at(pod, 'securityContext.runAsNonRoot'), true)
        assert.equal(at(pod, 'securityContext.runAsUser'), user?.uid)
        assert.equal(at(pod, 'automountServiceAccountToken'), false)
        assert.equal(at(pod, 'enableServiceLinks'), false)
        const own = at(pod, 'containers.0.securityContext')
        assert.deepEqual(own, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        assert.equal(at(pod, 'containers.0.volumeMounts.0.mountPath'), '/tmp')
        const script = String(at(pod, 'containers.0.command.1'))
        assert.ok(await readFile(join(ROOT, script)), `${script} is not in the image`)
      }
    }
  })
})

describe('the server', () => {
  test('scales from 3 to 10 by CPU 70 % and memory 80 %, and loses one pod at a time', async () => {
    const get = await render('usual', MATRIX.usual ?? {})
    const hpa = get('HorizontalPodAutoscaler')
    assert.equal(at(hpa, 'spec.minReplicas'), 3)
    assert.equal(at(hpa, 'spec.maxReplicas'), 10)
    assert.equal(at(hpa, 'spec.metrics.0.resource.name'), 'cpu')
    assert.equal(at(hpa, 'spec.metrics.0.resource.target.averageUtilization'), 70)
    assert.equal(at(hpa, 'spec.metrics.1.resource.name'), 'memory')
    assert.equal(at(hpa, 'spec.metrics.1.resource.target.averageUtilization'), 80)
    const deployment = get('Deployment', 'usual-upload-service')
    assert.equal(at(hpa, 'spec.scaleTargetRef.name'), deployment.metadata.name)
    assert.equal(at(deployment, 'spec.replicas'), undefined, 'a fixed number would undo the autoscaler at each upgrade')
    assert.equal(at(deployment, 'spec.strategy.rollingUpdate.maxUnavailable'), 0)
    const budget = get('PodDisruptionBudget', 'usual-upload-service')
    assert.equal(at(budget, 'spec.maxUnavailable'), 1)
    assert.deepEqual(at(budget, 'spec.selector.matchLabels'), at(deployment, 'spec.selector.matchLabels'))
  })

  test('is asked whether it lives and whether it is ready, and drains before it is told to stop', async () => {
    const pod = at(
      (await render('usual', MATRIX.usual ?? {}))('Deployment', 'usual-upload-service'),
      'spec.template.spec',
    )
    const container = at(pod, 'containers.0')
    assert.equal(at(container, 'startupProbe.httpGet.path'), '/livez')
    assert.equal(at(container, 'livenessProbe.httpGet.path'), '/livez')
    assert.equal(at(container, 'readinessProbe.httpGet.path'), '/readyz')
    assert.deepEqual(at(container, 'lifecycle.preStop.exec.command'), ['sleep', '10'])
    assert.equal(at(pod, 'terminationGracePeriodSeconds'), 35)
  })

  test('the grace follows SHUTDOWN_TIMEOUT, and less than it is refused', async () => {
    const grace = async (timeout: string): Promise<unknown> => {
      const get = await render('grace', { config: { SHUTDOWN_TIMEOUT: timeout } })
      return at(get('Deployment', 'grace-upload-service'), 'spec.template.spec.terminationGracePeriodSeconds')
    }
    assert.equal(await grace('1m'), 80)
    assert.equal(await grace('1500ms'), 22)
    const short = { server: { terminationGracePeriodSeconds: 24 } }
    await assert.rejects(renderText('short', short), /terminationGracePeriodSeconds is 24, but .* take 25/)
  })

  test('a change of its settings replaces the pods', async () => {
    const sum = async (values: Values): Promise<unknown> => {
      const deployment = (await render('sum', values))('Deployment', 'sum-upload-service')
      return Object.values(at(deployment, 'spec.template.metadata.annotations') ?? {})[0]
    }
    assert.equal(await sum({}), await sum({}))
    assert.notEqual(await sum({}), await sum({ config: { LOG_LEVEL: 'debug' } }))
  })
})

describe('the Ingress', () => {
  test('of nginx neither buffers requests nor limits bodies', async () => {
    const { metadata } = (await render('everything', MATRIX.everything ?? {}))('Ingress')
    const annotation = (name: string) => metadata.annotations?.[`nginx.ingress.kubernetes.io/${name}`]
    assert.equal(annotation('proxy-request-buffering'), 'off')
    assert.equal(annotation('proxy-body-size'), '0')
    assert.equal(annotation('proxy-http-version'), '1.1')
    assert.equal(annotation('proxy-buffer-size'), '32k', 'a HEAD repeats Upload-Metadata, up to 16 KiB')
    assert.equal(annotation('proxy-send-timeout'), '120')
    assert.equal(annotation('proxy-read-timeout'), '300', 'what is given wins')
    assert.equal(metadata.annotations?.['cert-manager.io/cluster-issuer'], 'le')
  })

  test('of HAProxy gives a finish its time', async () => {
    const ingress = (await render('haproxy', MATRIX.haproxy ?? {}))('Ingress')
    assert.equal(ingress.metadata.annotations?.['haproxy.org/timeout-server'], '120s')
    assert.equal(ingress.metadata.annotations?.['haproxy-ingress.github.io/timeout-server'], '120s')
    assert.equal(at(ingress, 'spec.rules.0.http.paths.0.path'), '/up')
  })

  test('is what Location begins with, unless PUBLIC_URL is given', async () => {
    const publicUrl = async (values: Values) => at((await render('url', values))('ConfigMap'), 'data.PUBLIC_URL')
    const ingress = { enabled: true, hosts: ['a.example.com'], tlsSecretName: 'tls' }
    assert.equal(await publicUrl({ ingress }), 'https://a.example.com')
    assert.equal(await publicUrl({ ingress: { ...ingress, tlsSecretName: '' } }), 'http://a.example.com')
    assert.equal(await publicUrl({ ingress, config: { PUBLIC_URL: 'https://b.example.com' } }), 'https://b.example.com')
    assert.equal(await publicUrl({}), undefined)
  })
})

describe('the rest', () => {
  test('the migration runs before the release, with its database settings and the Secrets that are there', async () => {
    const get = await render('usual', MATRIX.usual ?? {})
    const [job, secret] = [get('Job'), get('Secret', 'usual-upload-service-migrate')]
    for (const { metadata } of [job, secret]) {
      assert.equal(metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade')
    }
    const weight = ({ metadata }: Manifest): number => Number(metadata.annotations?.['helm.sh/hook-weight'])
    assert.ok(weight(secret) < weight(job), 'the settings come first')
    assert.deepEqual(at(secret, 'stringData'), { DATABASE_URL: CONFIG.DATABASE_URL, DB_MIGRATE: 'check' })
    const sources = at(job, 'spec.template.spec.containers.0.envFrom')
    assert.deepEqual(sources, [
      { secretRef: { name: 'usual-upload-service-migrate' } },
      { secretRef: { name: 'upload-secrets' } },
    ])
    assert.equal(at(get('ConfigMap'), 'data.DB_MIGRATE'), 'check')
  })

  test('the ServiceMonitor finds the Service, and the role is the account’s', async () => {
    const get = await render('everything', MATRIX.everything ?? {})
    const monitor = get('ServiceMonitor')
    const labels = get('Service').metadata.labels
    for (const [name, value] of Object.entries(at(monitor, 'spec.selector.matchLabels') ?? {})) {
      assert.equal(labels[name], value)
    }
    assert.equal(at(monitor, 'spec.endpoints.0.path'), '/metrics')
    assert.equal(at(monitor, 'spec.endpoints.0.port'), at(get('Service'), 'spec.ports.0.name'))
    assert.match(String(get('ServiceAccount').metadata.annotations?.['eks.amazonaws.com/role-arn']), /role\/uploads$/)
    const deployment = get('Deployment', 'uploads')
    assert.equal(at(deployment, 'spec.template.spec.serviceAccountName'), get('ServiceAccount').metadata.name)
    assert.equal(at(deployment, 'spec.template.spec.containers.0.ports.0.containerPort'), 8080)
  })
})

describe('settings', () => {
  const entries = Object.entries<Setting<unknown>>(SETTINGS)

  async function environment(name: string, values: Values): Promise<Record<string, string>> {
    const get = await render(name, values)
    const parts = [at(get('ConfigMap'), 'data'), at(get('Secret', `${name}-upload-service`), 'stringData')]
    return Object.assign({}, ...parts)
  }

  test('the schema has the table of settings in it: run npm run docs', async () => {
    const schema: { $defs: unknown } = JSON.parse(await readFile(join(CHART, 'values.schema.json'), 'utf8'))
    assert.deepEqual(schema.$defs, settingDefinitions())
  })

  test('what can hold a secret is never in the ConfigMap', async () => {
    const helpers = await readFile(join(CHART, 'templates', '_helpers.tpl'), 'utf8')
    const listed = /define "upload\.secretSettings" -}}\n(.*)\n/.exec(helpers)?.[1]
    assert.equal(listed, secretSettings().join(' '))
    const get = await render('usual', MATRIX.usual ?? {})
    assert.equal(at(get('ConfigMap'), 'data.DATABASE_URL'), undefined)
    assert.equal(at(get('Secret', 'usual-upload-service'), 'stringData.DATABASE_URL'), CONFIG.DATABASE_URL)
  })

  test('every one of them reaches the environment as it was meant', async () => {
    const written = entries.flatMap(([key, setting]) =>
      setting.fallback === null ? [] : [[key, setting.kind.write(setting.fallback ?? '')] as const],
    )
    const config = Object.fromEntries([...written.map(([key, text]) => [key, typed(text)]), ...Object.entries(CONFIG)])
    const env = await environment('all', { config })
    for (const [key, text] of written) assert.equal(env[key], text, key)
    assert.equal(env.MAX_FILE_SIZE, '5497558138880')
    assert.equal(env.MEMORY_WARNING_THRESHOLD, '0.8')
  })

  test('.env.production can be written as config, and the service takes it', async () => {
    const file = parseEnv(await readFile(join(ROOT, '.env.production'), 'utf8'))
    const config = Object.fromEntries(Object.entries(file).flatMap(([key, text]) => (text ? [[key, typed(text)]] : [])))
    const env = await environment('production', { config })
    assert.deepEqual(
      loadConfig({ ...env, ...SECRET_ENV }, { embedded: false }),
      loadConfig({ ...file, DB_MIGRATE: env.DB_MIGRATE, ...SECRET_ENV }, { embedded: false }),
    )
  })

  test("the chart's own defaults lack nothing but what only the user knows", async () => {
    const env = await environment('usual', MATRIX.usual ?? {})
    const config = loadConfig({ ...env, ...SECRET_ENV }, { embedded: false })
    assert.equal(config.database.migrate, 'check')
    assert.equal(config.memory.limitBytes, 2048 * 1024 ** 2)
  })

  for (const [what, values, message] of [
    ['a setting that does not exist', { config: { MAX_FILESIZE: 1 } }, /MAX_FILESIZE/],
    ['a value that is none of its words', { config: { DB_MIGRATE: 'yes' } }, /DB_MIGRATE/],
    ['a duration without a unit', { config: { SHUTDOWN_TIMEOUT: 15 } }, /SHUTDOWN_TIMEOUT/],
    ['a value of the chart that does not exist', { server: { replicas: 3 } }, /replicas/],
    [
      'a secret for a setting that does not exist',
      { secretKeys: { DB_PASSWORT: { name: 'a', key: 'b' } } },
      /DB_PASSWORT/,
    ],
    ['an Ingress without a host', { ingress: { enabled: true } }, /hosts/],
    ['no account at all', { serviceAccount: { create: false } }, /serviceAccount\.name is needed/],
  ] as const) {
    test(`${what} is refused`, async () => {
      await assert.rejects(renderText('refused', values), message)
    })
  }
})

/** As YAML would read it. */
function typed(text: string): unknown {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  return text === 'true' || text === 'false' ? text === 'true' : text
}
