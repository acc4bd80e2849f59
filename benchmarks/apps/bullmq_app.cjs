// BullMQ, finished jobs removed; the JavaScript twin of noop.py and producer.py.
const { Queue, Worker } = require('bullmq');
const ioredis = require('ioredis');

const Redis = ioredis.Redis || ioredis.default || ioredis;
const CHUNK = 1000, PERIOD_MS = 20, FLUSH_MS = 20;
const [mode, count] = [process.argv[2], Number(process.argv[3] || 0)];

const now = () => (performance.timeOrigin + performance.now()) / 1000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function connection(url) {
  const at = new URL(url);
  if (at.protocol === 'unix:') return { path: at.pathname, db: Number(at.searchParams.get('db') || 0), maxRetriesPerRequest: null };
  return { host: at.hostname, port: Number(at.port), maxRetriesPerRequest: null };
}

function work() {
  const statistics = new Redis(connection(process.env.BENCH_STATS_URL));
  let first = true, done = 0, published = 0, last = 0, latencies = [];
  setInterval(() => {
    if (done > published) {
      statistics.hset('last', String(process.pid), String(last));
      statistics.incrby('done', done - published);
      published = done;
    }
    if (latencies.length) {
      statistics.rpush('latencies', ...latencies);
      statistics.incrby('done', latencies.length);
      latencies = [];
    }
  }, FLUSH_MS);
  const body = async (job) => {
    const at = now();
    if (first) { first = false; statistics.rpush('first', String(at)); }
    if (job.name === 'late') latencies.push(String(at - job.data.sent));
    else { done++; last = at; }
  };
  const options = { concurrency: 50, removeOnComplete: { count: 0 }, removeOnFail: { count: 0 }, skipVersionCheck: true };
  new Worker('q', body, { connection: connection(process.env.BENCH_URL), ...options }).on('error', console.error);
}

async function one(queue) {
  for (let i = 0; i < count; i++) await queue.add('tick', {});
}

async function bulk(queue) {
  for (let i = 0; i < count; i += CHUNK) {
    await queue.addBulk(Array.from({ length: Math.min(CHUNK, count - i) }, () => ({ name: 'tick', data: {} })));
  }
}

async function latency(queue) {
  let due = Date.now();
  for (let i = 0; i < count; i++) {
    due += PERIOD_MS;
    await sleep(Math.max(0, due - Date.now()));
    await queue.add('late', { sent: now() });
  }
}

async function produce() {
  const queue = new Queue('q', { connection: connection(process.env.BENCH_URL), defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
  await queue.waitUntilReady();
  if (mode !== 'latency') await queue.add('tick', {});
  const wall = performance.now(), cpu = process.cpuUsage();
  await { one, bulk, latency }[mode](queue);
  const used = process.cpuUsage(cpu);
  const submitted = mode === 'latency' ? count : count + 1;
  console.log(JSON.stringify({ n: count, submitted, seconds: (performance.now() - wall) / 1000, cpu_seconds: (used.user + used.system) / 1e6 }));
  await queue.close();
  process.exit(0);
}

if (mode === 'worker') work();
else produce();
