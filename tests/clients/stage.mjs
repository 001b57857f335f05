// The stage of the client tests for Node: the same as stage.py.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const BINARY = process.env.TIDEGATE_BIN || join(HERE, '../../target/release/tidegate');

// What configures a client or a gateway from outside has no say here.
const FOREIGN = /^(OPENAI_|ANTHROPIC_|TIDEGATE_|AWS_|REDIS_)|_proxy$/i;
for (const name of Object.keys(process.env).filter((name) => FOREIGN.test(name))) {
  delete process.env[name];
}

export const LISTENER_KEY = 'upstream-key';
// What a gateway needs to know of the upstreams that ask for it.
const CREDENTIALS = {
  LISTENER_KEY,
  ANTHROPIC_API_KEY: 'upstream-anthropic-key',
  OPENAI_UPSTREAM_KEY: 'upstream-openai-key',
  AWS_ACCESS_KEY_ID: 'AKIDTIDAL',
  AWS_SECRET_ACCESS_KEY: 'upstream+secret/key',
};
// Nothing is left behind where the tests were started.
const STORE = { TIDEGATE__STORE__URL: 'memory:' };
const START_SECONDS = 20;
const STOP_SECONDS = 10;
const ANNOUNCED = /http:\/\/(127\.0\.0\.1:\d+)/;

/** A running program, found by the address that it announces. */
class Program {
  static async start(command, ...args) {
    const program = new Program();
    program.said = '';
    program.command = command;
    program.process = spawn(command, args, {
      env: { ...process.env, ...STORE, ...CREDENTIALS },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    program.ended = once(program.process, 'exit');
    program.process.stderr.on('data', (text) => (program.said += text));
    process.once('exit', () => program.process.kill('SIGKILL'));
    program.address = await eventually(() => program.announced(), START_SECONDS);
    return program;
  }

  announced() {
    if (this.process.exitCode !== null) {
      throw new Error(`${this.command} ended with ${this.process.exitCode}: ${this.said}`);
    }
    return ANNOUNCED.exec(this.said)?.[1];
  }

  /** Asks for an orderly end and returns the exit status. */
  async stop() {
    this.process.kill('SIGTERM');
    const giveUp = setTimeout(() => this.process.kill('SIGKILL'), STOP_SECONDS * 1000);
    const [status] = await this.ended;
    clearTimeout(giveUp);
    return status;
  }
}

/** A mock upstream. */
export function mock(...flags) {
  return Program.start(BINARY, 'mock', '--bind', '127.0.0.1:0', ...flags);
}

/** The scripted upstream `<dialect>_upstream.py`. */
export function upstream(dialect) {
  // Bedrock's needs botocore, which is only here.
  const python = join(HERE, '../../.venv-openai2/bin/python');
  return Program.start(python, join(HERE, `${dialect}_upstream.py`));
}

/**
 * A gateway with the configuration `gates/<name>.toml`, once it is ready.
 *
 * There, `{upstream}` stands for the address of the program of that name, and
 * `{word}` for any other text.
 */
export async function gate(name, upstreams) {
  let text = readFileSync(join(HERE, 'gates', `${name}.toml`), 'utf8');
  for (const [upstream, program] of Object.entries(upstreams)) {
    text = text.replaceAll(`{${upstream}}`, program.address ?? program);
  }
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
  const file = join(folder, 'tidegate.toml');
  writeFileSync(file, text);
  const program = await Program.start(BINARY, 'serve', '--config', file);
  rmSync(folder, { recursive: true });
  const ready = async () => (await fetch(`http://${program.address}/health/ready`)).ok;
  await eventually(ready, START_SECONDS);
  return program;
}

/** What a mock has counted. */
export async function stats(program) {
  return (await fetch(`http://${program.address}/__mock/stats`)).json();
}

/** Every call of a scripted upstream since it was reset. */
export async function journal(program) {
  return (await fetch(`http://${program.address}/__mock/journal`)).json();
}

/** Lets a mock or a scripted upstream count from zero again. */
export async function reset(program) {
  await fetch(`http://${program.address}/__mock/reset`, { method: 'POST' });
}

/** The first true value of `check`, or an error after `seconds`. */
export async function eventually(check, seconds = 10) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${check} did not become true within ${seconds} s`);
    await pause(20);
  }
}

/** An upstream that keeps the headers and the body of what it was asked last. */
export async function listen() {
  const heard = { headers: undefined, body: undefined };
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    heard.headers = request.headers;
    heard.body = JSON.parse(Buffer.concat(parts).toString());
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(HEARD));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async () => {
    server.closeAllConnections();
    server.close();
  };
  return Object.assign(heard, { address: `127.0.0.1:${server.address().port}`, stop });
}

const HEARD = {
  id: 'chatcmpl-heard',
  object: 'chat.completion',
  created: 1,
  model: 'heard',
  choices: [{ index: 0, message: { role: 'assistant', content: 'heard' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  x_unknown_answer_field: 7,
};
