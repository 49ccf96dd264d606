/**
 * Who may import whom: the table of docs/adr and ARCHITECTURE.md, checked. A folder of src/ is named for where its code may run;
 * an import that crosses these lines would load where it cannot.
 */
const inner = ['contracts', 'workflows', 'activities', 'machines', 'guest', 'model', 'store', 'emulator', 'telemetry'];
const roots = '^src/(worker|gateway|cli)\\.ts$|^src/cli/|^src/worker/';

/** Nothing below `from` imports anything that matches `path`. */
const never = (name, from, path, comment, more = {}) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, ...(more.except ? { pathNot: more.except } : {}) },
  to: { path, ...(more.allow ? { pathNot: more.allow } : {}) },
});

const nodeModules = (name) => `(^|/)node_modules/${name}/`;
const temporal = (names) => nodeModules(`@temporalio/(${names})`);
const otherFolders = (...allowed) => `^src/(?!(${allowed.join('|')})(/|\\.ts))`;

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'A cycle has no reading order.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'An import that nothing answers fails at start.',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-dependencies',
      severity: 'error',
      comment: 'A package that package.json does not list is there by chance.',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    never('contracts-stand-alone', '^src/contracts/', otherFolders('contracts'), 'Contracts load in every runtime.'),
    {
      name: 'contracts-without-packages',
      severity: 'error',
      comment: 'No library and no node: module; only messages.ts defines signals and queries.',
      from: { path: '^src/contracts/' },
      to: {
        dependencyTypes: ['core', 'npm', 'npm-no-pkg', 'npm-unknown', 'npm-dev'],
        pathNot: temporal('workflow|common'),
      },
    },
    never(
      'contracts-define-messages-in-one-file',
      '^src/contracts/',
      temporal('.*'),
      'Signals and queries are defined in messages.ts.',
      { except: '^src/contracts/messages\\.ts$' },
    ),
    never(
      'workflows-are-deterministic',
      '^src/workflows/',
      otherFolders('contracts', 'workflows'),
      'Workflow code reaches the world by activities only.',
    ),
    {
      name: 'workflows-without-packages',
      severity: 'error',
      comment: 'Only what the SDK lets into the sandbox.',
      from: { path: '^src/workflows/' },
      to: {
        dependencyTypes: ['core', 'npm', 'npm-no-pkg', 'npm-unknown', 'npm-dev'],
        pathNot: temporal('workflow|common'),
      },
    },
    never(
      'activities-use-ports',
      '^src/activities/',
      otherFolders('contracts', 'activities', 'machines', 'guest', 'model', 'store', 'log'),
      'Activities get settings and clients handed in.',
    ),
    never(
      'activities-know-no-vendor',
      '^src/activities/',
      '^src/machines/[^/]+/|^src/model/dedalus|dedalus-labs',
      'The port is imported, never an adapter.',
    ),
    ...['machines', 'model', 'store', 'emulator'].map((folder) =>
      never(
        `${folder}-stands-alone`,
        `^src/${folder}/`,
        otherFolders('contracts', folder),
        'Adapters know contracts and themselves.',
      ),
    ),
    never(
      'guest-uses-the-machines-port',
      '^src/guest/',
      otherFolders('contracts', 'guest', 'machines'),
      'See machines.',
    ),
    never('guest-knows-no-vendor', '^src/guest/', '^src/machines/[^/]+/', 'The port is imported, never an adapter.'),
    never(
      'adapters-know-no-temporal',
      '^src/(machines|guest|model|store|emulator)/',
      temporal('.*'),
      'What they do is the same without Temporal.',
    ),
    never(
      'client-is-thin',
      '^src/client(\\.ts$|/)',
      otherFolders('contracts', 'store', 'client', 'telemetry'),
      'A backend loads admission and readers, not the agent.',
    ),
    never(
      'temporal-client-has-one-door',
      '^src/(?!client\\.ts|client/|dev/|cli/|worker/)',
      temporal('client'),
      'Lanes are reached through src/client/; the worker hands that to its activities. Commands and dev look at servers.',
    ),
    never(
      'gateway-is-stateless',
      '^src/gateway/',
      otherFolders('contracts', 'client', 'store', 'gateway', 'guest', 'machines', 'log', 'telemetry'),
      'It projects the record, and carries bytes to machines and back.',
    ),
    never(
      'gateway-knows-no-vendor',
      '^src/gateway/',
      '^src/machines/[^/]+/',
      'The port is imported, never an adapter.',
    ),
    never(
      'telemetry-stands-alone',
      '^src/telemetry/',
      otherFolders('contracts', 'telemetry', 'log'),
      'Whoever is watched imports it; it knows nobody.',
    ),
    never(
      'telemetry-is-started-by-roots',
      '^src/(?!telemetry/)',
      '^src/telemetry/(tracing|tracer|metrics-server)\\.ts$',
      'Everybody else makes spans by the API alone, and a backend has a tracer of its own.',
      { except: roots },
    ),
    never(
      'nobody-knows-the-emulator',
      '^src/(?!emulator/|cli/)',
      '^src/emulator/',
      'Only the base URL differs from the cloud.',
    ),
    never(
      'dev-is-for-laptops-and-tests',
      '^src/(?!dev/|cli/|story/)',
      '^src/dev/',
      'What starts servers on a laptop is no part of a deployment.',
    ),
    never(
      'story-is-told-by-the-command',
      '^src/(?!story/|cli/)',
      '^src/story/',
      'It checks the product from outside; nothing of the product needs it.',
    ),
    never(
      'story-looks-from-outside',
      '^src/story/',
      '^src/(activities|workflows|guest|machines|model|emulator)(/|\\.ts)',
      'It reads records and speaks to the parts, and shares no code with what it checks.',
    ),
    never(
      'dev-starts-processes',
      '^src/dev/',
      otherFolders('contracts', 'config', 'log', 'store', 'dev'),
      'It starts parts; it is none.',
    ),
    never('roots-are-not-imported', '^src/', roots, 'Composition roots are started, never imported.', {
      except: roots,
    }),
    never(
      'config-is-read-by-roots',
      `^src/(${inner.join('|')}|client|log)`,
      '^src/config\\.ts$',
      'Slices are passed on.',
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    moduleSystems: ['es6', 'cjs'],
    enhancedResolveOptions: {
      conditionNames: ['import', 'require', 'node', 'types', 'default'],
      exportsFields: ['exports'],
    },
    exclude: { path: '^(dist|\\.cache|\\.data)/' },
  },
};
