import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../../browser/lib/deadline.mjs';
import { run } from './command.mjs';
import { Machine } from './machine.mjs';
import { ROOT, SLUICE, WORK } from './places.mjs';

const STAND_INS = join(ROOT, 'tests/machines/stand-ins');

/** As docs/DEPLOY.md has it in terraform.tfvars. */
const TFVARS = `
binary = {
  version = "0.1.0"
  url     = "https://downloads.example/{version}/sluice"
  sha256  = "${'0'.repeat(64)}"
}
control = {
  provider = "aws"
  region   = "eu-central-1"
  zones    = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  type     = "t3.small"
}
geoip       = { "country.mmdb" = { url = "https://downloads.example/country.mmdb", sha256 = "${'0'.repeat(64)}" } }
dns_zone    = "mesh.example"
admin_cidrs = ["192.0.2.0/24"]
ssh_keys    = ["ssh-ed25519 AAAA test"]
`;

/** How long a service may take until it is ready. Milliseconds. */
const READY_MS = 120_000;

/**
 * A mesh that is deployed as docs/DEPLOY.md says: a folder with the topology, what is rendered from
 * it, what Terraform makes of that, certificates, secrets, and the machines. What providers do is
 * done by the stand-ins of tests/terraform.
 */
export class Deployment {
  #internet;
  #dir = join(WORK, 'deployment');
  /** @type {Record<string, import('./machine.mjs').Told>} */
  #told = {};
  /** @type {Map<string, Machine>} */
  machines = new Map();
  /** What its names lead to, as lines of a zone file. */
  zone = '';
  apiKey = { id: '', secret: '' };
  turnSecret = '';
  coordinator = 'https://meet.mesh.example';

  /** @param {import('./internet.mjs').Internet} internet */
  constructor(internet) {
    this.#internet = internet;
  }

  /**
   * From nothing to a mesh that serves.
   *
   * @param {string[]} regions
   */
  async start(regions) {
    const dir = this.#dir;
    await cp(join(ROOT, 'terraform'), join(dir, 'terraform'), {
      recursive: true,
      filter: (path) => !/\/(rendered|\.terraform|generated\.auto\.tfvars\.json)$/.test(path),
    });
    for (const cloud of ['aws', 'hetzner']) {
      const modules = join(dir, 'terraform/modules', cloud);
      await rm(modules, { recursive: true });
      await cp(join(ROOT, 'tests/terraform/stubs', cloud), modules, { recursive: true });
    }
    await cp(join(ROOT, 'tests/terraform/root'), join(dir, 'terraform'), { recursive: true });
    await rm(join(dir, 'terraform/root.tftest.hcl'));
    await writeFile(join(dir, 'terraform/terraform.tfvars'), TFVARS);
    await this.describe(regions);
    await this.#sluice('topology', 'check');
    await this.#sluice('topology', 'render');
    await this.#terraform('init', '-input=false');
    await this.#sluice('pki', 'init', 'mesh');
    const key = (await this.#sluice('keys', 'api', 'product', '--ops')).trim();
    const [id = '', secret = ''] = key.split(':');
    this.apiKey = { id, secret };
    this.turnSecret = (await this.#sluice('keys', 'turn')).trim();
    this.env = `SLUICE_API_KEYS=${key}\nSLUICE_TURN_SECRET=${this.turnSecret}\n`;
    await this.apply();
  }

  /** Writes the topology with these regions of tests/machines/mesh. @param {string[]} regions */
  async describe(regions) {
    const mesh = join(ROOT, 'tests/machines/mesh');
    const folder = join(this.#dir, 'regions');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    for (const region of regions) {
      await cp(join(mesh, 'regions', `${region}.toml`), join(folder, `${region}.toml`));
    }
    const text = await readFile(join(mesh, 'topology.toml'), 'utf8');
    const [head = '', ...links] = text.split(/^(?=\[\[link\]\]$)/m);
    const joined = links.filter((link) => {
      const [, ends = ''] = /^ends = \[(.*)\]$/m.exec(link) ?? [];
      return [...ends.matchAll(/"(\w+)"/g)].every(([, end]) => regions.includes(end));
    });
    const listed = head.replace(/^regions = .*$/m, `regions = ${JSON.stringify(regions)}`);
    await writeFile(join(this.#dir, 'topology.toml'), listed + joined.join(''));
  }

  /**
   * Renders, applies, gives new machines their secrets, and starts what is new or told otherwise.
   *
   * @returns {Promise<{ hired: string[], replaced: string[], gone: string[] }>}
   */
  async apply() {
    await this.#sluice('topology', 'check');
    await this.#sluice('topology', 'render');
    await this.#sluice('topology', 'render', '--check');
    await this.#terraform('apply', '-input=false', '-auto-approve');
    const output = async (/** @type {string} */ name) =>
      JSON.parse(await this.#terraform('output', '-json', name));
    const told = await output('told');
    const hired = await output('hired');
    const addresses = await output('addresses');
    this.zone = await this.#terraform('output', '-raw', 'zone_file');
    await this.#internet.name(this.zone);
    const before = this.#told;
    this.#told = {};
    const change = { hired: [], replaced: [], gone: [] };
    for (const [name, cloudInit] of Object.entries(told)) {
      const it = { told: cloudInit, rules: hired[name].rules, address: addresses[name] };
      if (!Machine.serves(it)) continue;
      this.#told[name] = it;
      const machine = this.machines.get(name);
      if (!machine) change.hired.push(name);
      else if (JSON.stringify(before[name]?.told) !== JSON.stringify(cloudInit)) {
        change.replaced.push(name);
      } else await machine.admit(it.rules);
    }
    for (const [name, machine] of this.machines) {
      if (this.#told[name]) continue;
      change.gone.push(name);
      await machine.service.stop();
      await machine.close();
      this.machines.delete(name);
    }
    for (const name of change.hired) await this.#hire(name);
    for (const name of change.replaced) {
      const machine = this.machine(name);
      await machine.service.stop();
      await machine.tell(this.#told[name]);
    }
    const begin = [...change.hired, ...change.replaced];
    await Promise.all(begin.map((name) => this.machine(name).start()));
    await this.ready(begin);
    return change;
  }

  /** Puts the topology as it is described in force, before machines change. */
  async putInForce() {
    const { id, secret } = this.apiKey;
    await this.#sluice(
      ...['topology', 'apply', '--url', this.coordinator, '--api-key', `${id}:${secret}`],
    );
  }

  /** Waits until machines say that they are ready, where they do. @param {string[]} names */
  async ready(names) {
    const probes = JSON.parse(await this.#terraform('output', '-json', 'probes'));
    for (const name of names) {
      if (!probes[name]) continue;
      const { service } = this.machine(name);
      let last;
      const ready = async () => {
        if (!service.runs) throw new Error(`${name} ended:\n${await service.said()}`);
        last = await fetch(probes[name]).catch((error) => error);
        return last.ok;
      };
      await until(`${name} to be ready`, ready, READY_MS).catch((error) => {
        throw new Error(`${probes[name]}: ${last?.cause ?? last?.status}`, { cause: error });
      });
    }
  }

  /** @param {string} name */
  machine(name) {
    const machine = this.machines.get(name);
    if (!machine) throw new Error(`no ${name}; there are ${[...this.machines.keys()].join(', ')}`);
    return machine;
  }

  /** What Terraform decided for a machine. @param {string} name */
  told(name) {
    const told = this.#told[name];
    if (!told) throw new Error(`Terraform knows no ${name}`);
    return told;
  }

  /** A machine's own address within its cloud, and its public one. @param {string} name */
  addresses(name) {
    const known = this.told(name).address;
    // AWS translates addresses, at Hetzner Cloud a machine has its own.
    const own = known.startsWith('5.161.') ? known : known.replace(/^\d+/, '10');
    return { known, own };
  }

  /** @param {string} name */
  async #hire(name) {
    const { known, own } = this.addresses(name);
    const machine = await Machine.hire(name, this.#told[name], this.#internet, own);
    this.machines.set(name, machine);
    await mkdir(join(WORK, 'addresses'), { recursive: true });
    await writeFile(join(WORK, 'addresses', known), String(machine.host.pid));
    const secrets = join(this.#dir, 'secrets', name);
    await mkdir(join(secrets, 'tls'), { recursive: true });
    if (name.startsWith('turn-')) {
      await writeFile(join(secrets, 'turn-secret'), `${this.turnSecret}\n`);
    } else {
      const who = name.startsWith('coordinator-') ? 'coordinator' : name;
      await this.#sluice('pki', 'issue', who, join(secrets, 'mesh'));
    }
    if (name.startsWith('coordinator-')) await writeFile(join(secrets, 'env'), this.env);
    await this.#certify(join(secrets, 'tls'), this.#names(name));
    await run(['terraform/put-secret', name, secrets], { cwd: this.#dir, env: this.#env() });
  }

  /** The public names of a machine. @param {string} name */
  #names(name) {
    if (name.startsWith('coordinator-')) return ['meet.mesh.example'];
    if (name.startsWith('turn-')) return [`turn.${name.slice(5)}.mesh.example`];
    const region = name.replace(/-\d+$/, '');
    return [`${name}.${region}.mesh.example`, `${region}.mesh.example`];
  }

  /** What an authority that browsers trust does. @param {string} folder @param {string[]} names */
  async #certify(folder, names) {
    const [key, request, chain] = ['key.pem', 'request.pem', 'cert.pem'].map((it) => join(folder, it));
    const extension = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`;
    await run([
      ...['openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', `/CN=${names[0]}`, '-addext', extension, '-keyout', key, '-out', request],
    ]);
    await run([
      ...['openssl', 'x509', '-req', '-in', request, '-CA', `${WORK}/ca.pem`, '-CAkey'],
      ...[`${WORK}/ca.key`, '-days', '90', '-copy_extensions', 'copy', '-out', chain],
    ]);
    await rm(request);
  }

  /** @param {string[]} argv */
  #sluice(...argv) {
    const env = { ...process.env, SSL_CERT_FILE: join(WORK, 'ca.pem') };
    return run([SLUICE, ...argv], { cwd: this.#dir, env });
  }

  /** The folder with topology.toml and regions/. */
  get topology() {
    return this.#dir;
  }

  /** @param {string} command @param {string[]} argv */
  #terraform(command, ...argv) {
    return run(['terraform', '-chdir=terraform', command, ...argv, '-no-color'].filter(
      // `output -raw` and `-json` print no colours, and take no word about them before a name.
      (word) => command !== 'output' || word !== '-no-color',
    ), { cwd: this.#dir, env: this.#env() });
  }

  #env() {
    return {
      ...process.env,
      PATH: `${STAND_INS}:${process.env.PATH}`,
      TF_CLI_CONFIG_FILE: '/dev/null',
      TF_IN_AUTOMATION: '1',
      CHECKPOINT_DISABLE: '1',
    };
  }

  async close() {
    for (const machine of this.machines.values()) await machine.close();
  }
}
