/*
 * The page at /: posts a batch to v1/scrape and shows its records as they stream in.
 *
 * Everything that comes out of a page (titles, URLs, messages) is hostile text: it goes into
 * textContent and nowhere else. The policy that the server sends forbids the rest.
 *
 *     text          numbers and words for people
 *     Transcript    a long text that grows: the answer as it came, and downloads
 *     LineReader    bytes in, lines out
 *     RecordList    the list, of which only the rows in sight are in the document
 *     input         what is posted: the text area, or a file
 *     a batch       from Start to its end
 *     downloads     NDJSON as it came, CSV made of it
 *     the daemon    what GET v1/status tells, where it is there
 */

const element = (id) => document.getElementById(id);
const megabyte = 1 << 20;

/* -- text --------------------------------------------------------------------------------------- */

const number = (n, digits = 0) =>
  n.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const perSecond = (n) => number(n, n < 10 ? 1 : 0);
const seconds = (ms) => (ms < 60e3 ? `${number(ms / 1000, 1)} s`
  : `${Math.floor(ms / 60e3)} min ${Math.floor((ms % 60e3) / 1000)} s`);
const bytes = (n) => (n < 10 * megabyte ? `${number(n / 1024)} KiB` : `${number(n / megabyte)} MiB`);
const plural = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;

/* What is shown below the buttons, and read out: few and whole sentences. */
function announce(text, isError = false) {
  element('announcement').textContent = text;
  element('announcement').classList.toggle('error', isError);
}

/* -- Transcript --------------------------------------------------------------------------------- */

/* A long text that grows. Blobs are kept outside of the script's memory, on disk where they are large. */
class Transcript {
  size = 0;
  #blob = new Blob();
  #pieces = [];
  #pending = 0;

  add(piece) {
    this.#pieces.push(piece);
    this.#pending += piece.length;
    this.size += piece.length;
    if (this.#pending > 4 * megabyte) this.blob();
  }

  blob() {
    if (this.#pending > 0) this.#blob = new Blob([this.#blob, ...this.#pieces]);
    this.#pieces = [];
    this.#pending = 0;
    return this.#blob;
  }

  text(from, length) {
    return this.blob().slice(from, from + length).text();
  }
}

/* -- LineReader --------------------------------------------------------------------------------- */

/* Cuts pieces of a stream into lines and gives each to `onLine(text, offset, length)`. */
class LineReader {
  #decoder = new TextDecoder();
  #rest = new Uint8Array();
  #offset = 0;

  constructor(onLine) {
    this.onLine = onLine;
  }

  add(piece) {
    let bytes = piece;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length);
      bytes.set(this.#rest);
      bytes.set(piece, this.#rest.length);
    }
    let begin = 0;
    for (let end; (end = bytes.indexOf(10, begin)) >= 0; begin = end + 1) this.#line(bytes.subarray(begin, end));
    this.#rest = bytes.subarray(begin);
  }

  /* The stream is over: a last line may lack its end. */
  end() {
    if (this.#rest.length > 0) this.#line(this.#rest);
    this.#rest = new Uint8Array();
  }

  #line(line) {
    this.onLine(this.#decoder.decode(line), this.#offset, line.length);
    this.#offset += line.length + 1;
  }
}

/* Lets the browser paint and hear the user. Other than timers it is not slowed down in a hidden tab. */
const turn = (() => {
  const { port1, port2 } = new MessageChannel();
  const waiting = [];
  port1.onmessage = () => waiting.shift()();
  return () => new Promise((resolve) => { waiting.push(resolve); port2.postMessage(0); });
})();

/* Reads a stream of bytes to its end, in small pieces, and gives the browser a turn every few milliseconds. */
async function drain(stream, onPiece) {
  const reader = stream.getReader();
  let began = performance.now();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (let at = 0; at < value.length; at += 32 << 10) {
      onPiece(value.subarray(at, at + (32 << 10)));
      if (performance.now() - began > 10) {
        await turn();
        began = performance.now();
      }
    }
  }
}

async function eachLine(blob, onLine) {
  const lines = new LineReader(onLine);
  await drain(blob.stream(), (piece) => lines.add(piece));
  lines.end();
}

/* -- RecordList --------------------------------------------------------------------------------- */

/* What the list keeps of a record; the record itself is in the transcript, at `at`. */
function summary(record, at, length) {
  const { index, url, status, error } = record;
  const isOk = status === 'ok';
  return {
    index, url, status, at, length,
    badge: isOk ? String(record.http_status) : status,
    text: isOk ? record.title ?? record.description ?? record.h1?.[0] ?? '' : `${error?.code}: ${error?.message}`,
    ms: record.timing_ms?.total,
  };
}

class RecordList {
  /* More are counted and downloaded, but not listed: browsers have no taller elements, and tabs a bound of memory. */
  static most = 250_000;
  static mostCharacters = 100e6;
  static overscan = 4; /* rows in the document on either side of those in sight */

  rows = [];
  #characters = 0;
  #shown = null; /* positions in `rows` that pass the filter; null: all */
  #status = '';
  #text = '';
  #active = -1; /* a position among those shown */
  #first = -1; /* the rows that are in the document */
  #last = -1;
  #isDue = false;

  constructor(onOpen) {
    this.onOpen = onOpen;
    this.scroller = element('list');
    this.space = element('list-space');
    this.box = element('list-rows');
    this.scroller.addEventListener('scroll', () => this.#soon());
    this.scroller.addEventListener('keydown', (event) => this.#onKey(event));
    this.box.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (row) this.#choose(Number(row.dataset.position), true);
    });
    new ResizeObserver(() => this.#redraw()).observe(this.scroller);
  }

  get count() {
    return this.#shown ? this.#shown.length : this.rows.length;
  }

  get isFiltered() {
    return this.#shown !== null;
  }

  clear() {
    this.rows = [];
    this.#characters = 0;
    this.filter(this.#status, this.#text);
  }

  add(row) {
    this.#characters += row.url.length + row.text.length;
    if (this.rows.length >= RecordList.most || this.#characters > RecordList.mostCharacters) return;
    this.rows.push(row);
    if (this.#shown && this.#passes(row)) this.#shown.push(this.rows.length - 1);
    this.#soon();
  }

  filter(status, text) {
    this.#status = status;
    this.#text = text.toLowerCase();
    this.#shown = null;
    if (status || text) {
      this.#shown = [];
      this.rows.forEach((row, position) => { if (this.#passes(row)) this.#shown.push(position); });
    }
    this.#active = -1;
    this.scroller.scrollTop = 0;
    this.#redraw();
  }

  #passes(row) {
    return (!this.#status || row.status === this.#status) &&
      (!this.#text || row.url.toLowerCase().includes(this.#text) || row.text.toLowerCase().includes(this.#text));
  }

  #row(position) {
    return this.rows[this.#shown ? this.#shown[position] : position];
  }

  #soon() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #redraw() {
    this.#first = -1;
    this.#soon();
  }

  /* Rows are all as high as the style says, so that where each is need not be asked. */
  get #height() {
    return 3.25 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  #draw() {
    const height = this.#height;
    const inSight = Math.ceil(this.scroller.clientHeight / height);
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - RecordList.overscan);
    const last = Math.min(this.count, first + inSight + 2 * RecordList.overscan);

    element('list-empty').hidden = this.count > 0;
    this.space.style.height = `${this.count * height}px`;
    if (first === this.#first && last === this.#last) return;
    this.#first = first;
    this.#last = last;
    this.box.style.transform = `translateY(${first * height}px)`;
    this.box.replaceChildren(...Array.from({ length: last - first }, (_, i) => this.#element(first + i)));
    this.scroller.setAttribute('aria-activedescendant', this.#active >= 0 ? `row-${this.#active}` : '');
  }

  #element(position) {
    const row = this.#row(position);
    const made = document.createElement('div');
    const part = (tag, name, text) => {
      const child = made.appendChild(document.createElement(tag));
      child.className = name;
      child.textContent = text;
      return child;
    };

    made.id = `row-${position}`;
    made.className = `row ${row.status}`;
    made.dataset.position = position;
    made.setAttribute('role', 'option');
    made.setAttribute('aria-posinset', position + 1);
    made.setAttribute('aria-setsize', this.count);
    made.setAttribute('aria-selected', position === this.#active);
    part('span', 'badge', row.badge);
    part('bdi', row.text ? 'text' : 'text unnamed', row.text || 'no title');
    part('bdi', 'url', row.url);
    part('span', 'ms', row.ms === undefined ? '' : `${number(row.ms)} ms`);
    return made;
  }

  #choose(position, opens) {
    const height = this.#height;
    const top = position * height;
    const { scrollTop, clientHeight } = this.scroller;

    this.#active = position;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) this.scroller.scrollTop = top + height - clientHeight;
    this.#redraw();
    if (opens) this.onOpen(this.#row(position));
  }

  #onKey(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.#height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const opens = event.key === 'Enter' || event.key === ' ';

    if (this.count === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!opens && !(event.key in steps)) return;
    event.preventDefault();
    if (opens && this.#active < 0) return;
    this.#choose(Math.min(this.count - 1, Math.max(0, this.#active + (steps[event.key] ?? 0))), opens);
  }
}

/* -- the record that is looked at --------------------------------------------------------------- */

async function openRecord(row) {
  const line = await batch.transcript.text(row.at, row.length);
  const link = element('record-link');

  element('record-heading').textContent = `Record ${row.index}`;
  link.textContent = row.url;
  if (/^https?:\/\//i.test(row.url)) link.href = row.url; /* what is no URL could be a script */
  else link.removeAttribute('href');
  element('record-json').textContent = JSON.stringify(JSON.parse(line), null, 2);
  element('record').showModal();
}

/* -- input -------------------------------------------------------------------------------------- */

let file = null; /* what is posted in place of the text area */

function chooseFile(chosen) {
  file = chosen ?? null;
  element('file-chosen').hidden = !file;
  element('file-name').textContent = file ? `${file.name}, ${bytes(file.size)}` : '';
  element('urls').disabled = Boolean(file);
  if (!file) element('file').value = '';
}

/* Browsers take seconds to lay out a long text; so one is treated as a file, whatever way it came. */
const longText = 256 << 10;

function takeLong(text, name) {
  if (text.length <= longText) return false;
  chooseFile(new File([text], name));
  return true;
}

/* How many URLs a body has, as far as can be told without the daemon; null where it cannot. */
async function countUrls(body) {
  const start = (await body.slice(0, 1024).text()).trimStart();
  let count = 0;

  if (start.startsWith('[') || /^\{\s*"(urls|options)"/.test(start)) {
    if (body.size > 64 * megabyte) return null;
    try {
      const document = JSON.parse(await body.text());
      return (document.urls ?? document).length ?? null;
    } catch {
      return null; /* the daemon will say what is wrong with it */
    }
  }
  await eachLine(body, (line) => {
    const text = line.trim();
    if (text && !text.startsWith('#')) count++;
  });
  return count;
}

/* What was chosen, as a query string; what was left alone is the daemon's to choose. */
function chosenOptions() {
  const chosen = new FormData(element('form'));
  const fields = chosen.getAll('fields');
  const query = new URLSearchParams();

  chosen.delete('fields');
  for (const [name, value] of chosen) if (value) query.set(name, value);
  if (fields.length > 0 && fields.join() !== 'title') query.set('fields', fields.join());
  if (query.get('order') === 'completion') query.delete('order');
  return query.size > 0 ? `?${query}` : '';
}

function authorization() {
  const token = element('token').value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/* -- a batch ------------------------------------------------------------------------------------ */

const list = new RecordList(openRecord);
let batch = null; /* the one that is shown; one at a time */

class Batch {
  transcript = new Transcript();
  counts = { ok: 0, failed: 0, cancelled: 0 };
  end = null; /* the record of type "end" */
  controller = new AbortController();
  began = performance.now();
  elapsed = 0;
  isRunning = true;
  #samples = [];

  constructor(total) {
    this.total = total; /* null: not known */
  }

  get done() {
    return this.counts.ok + this.counts.failed + this.counts.cancelled;
  }

  /* Records a second: of the last few seconds while it runs, then of the whole. */
  rate() {
    const now = performance.now();
    if (!this.isRunning) return (1000 * this.done) / Math.max(1, this.elapsed);
    this.#samples.push([now, this.done]);
    if (this.#samples.length > 20) this.#samples.shift();
    const [then, count] = this.#samples[0];
    return now > then ? (1000 * (this.done - count)) / (now - then) : 0;
  }

  /* Throws what keeps it from coming to its end. */
  async run(body) {
    const answer = await fetch(`v1/scrape${chosenOptions()}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream', ...authorization() },
      body,
      signal: this.controller.signal,
      cache: 'no-store',
    });
    if (!answer.ok) throw await Refusal.of(answer);

    const lines = new LineReader((line, at, length) => this.#onLine(line, at, length));
    await drain(answer.body, (piece) => {
      this.transcript.add(piece);
      lines.add(piece);
    });
  }

  #onLine(line, at, length) {
    const record = JSON.parse(line);
    if (record.type === 'end') {
      this.end = record;
    } else if (record.type === 'result') {
      this.counts[record.status]++;
      list.add(summary(record, at, length));
    }
  }
}

/* An answer that is not 200: the daemon says in a sentence what was wrong (RFC 9457). */
class Refusal extends Error {
  static async of(answer) {
    const problem = await answer.json().catch(() => ({}));
    const refusal = new Refusal(problem.detail || problem.title || `The daemon answered ${answer.status}.`);
    refusal.status = answer.status;
    return refusal;
  }
}

/* The sentence that a batch ends with. */
function verdict(failure) {
  const { ok, failed, cancelled } = batch.counts;
  const missing = batch.total === null ? 'the rest is' : `${number(Math.max(0, batch.total - batch.done))} are`;

  if (failure?.name === 'AbortError') return `Cancelled after ${plural(batch.done, 'record')}; ${missing} missing.`;
  if (failure instanceof Refusal) return failure.message;
  if (failure && batch.done === 0) return `No answer: ${failure.message}`;
  if (failure || !batch.end) return `The answer was cut after ${plural(batch.done, 'record')}; ${missing} missing.`;
  return `Done: ${number(ok)} ok, ${number(failed)} failed, ${number(cancelled)} cancelled ` +
    `in ${seconds(batch.elapsed)}.`;
}

function show() {
  const { counts, done, total } = batch;
  const bar = element('progress');

  batch.elapsed = batch.isRunning ? performance.now() - batch.began : batch.elapsed;
  if (total !== null) {
    bar.max = Math.max(1, total, done);
    bar.value = done;
  } else if (batch.isRunning) {
    bar.removeAttribute('value');
  }
  element('progress-text').textContent = total === null ? number(done)
    : `${number(done)} of ${number(total)} (${Math.floor((100 * done) / Math.max(1, total, done))} %)`;
  for (const status of Object.keys(counts)) element(`count-${status}`).textContent = number(counts[status]);
  element('rate').textContent = perSecond(batch.rate());
  element('elapsed').textContent = seconds(batch.elapsed);
  element('save-ndjson').disabled = element('save-csv').disabled = done === 0;
  element('retry').disabled = batch.isRunning || counts.failed + counts.cancelled === 0;
  showFilter();
}

function showFilter() {
  const unlisted = batch ? batch.done - list.rows.length : 0;
  element('filter-count').textContent = [
    list.isFiltered ? `${number(list.count)} of ${number(list.rows.length)}` : '',
    unlisted > 0 ? `${number(unlisted)} more are not listed, but downloaded` : '',
  ].filter(Boolean).join('; ');
}

function setRunning(isRunning) {
  batch.isRunning = isRunning;
  element('start').disabled = isRunning;
  element('cancel').disabled = !isRunning;
  document.title = isRunning ? 'skimd: running' : 'skimd';
}

async function start() {
  const body = file ?? new Blob([element('urls').value]);
  let failure = null;

  if (batch?.isRunning) return;
  if (body.size === 0) {
    announce('There are no URLs yet.', true);
    element('urls').focus();
    return;
  }
  batch = new Batch(null);
  list.clear();
  element('results').hidden = false;
  setRunning(true);
  announce('Running…');
  show();
  const ticks = setInterval(show, 250);
  try {
    batch.total = await countUrls(body);
    batch.began = performance.now();
    await batch.run(body);
  } catch (error) {
    failure = error;
    batch.controller.abort(); /* where the answer was not understood, it would go on */
  }
  clearInterval(ticks);
  batch.elapsed = performance.now() - batch.began;
  batch.total = batch.end?.total ?? batch.total;
  setRunning(false);
  show();
  announce(verdict(failure), Boolean(failure) || !batch.end);
  if (failure?.status === 401) {
    element('options').open = true;
    element('token').focus();
  }
}

/* -- downloads ---------------------------------------------------------------------------------- */

function save(blob, name) {
  const link = document.createElement('a');

  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
}

/*
 * A cell as RFC 4180 has it. What a spreadsheet would take for a formula gets an apostrophe in
 * front: strangers write the titles.
 */
function csvCell(value) {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  let text = typeof value === 'string' ? value : JSON.stringify(value);
  if (/^[\t\r\n]|^\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]/.test(text)) text = `'${text}`;
  return `"${text.replaceAll('"', '""')}"`;
}

const csvColumns = ['index', 'id', 'url', 'status', 'http_status', 'final_url', 'title', 'content_type', 'charset',
  'body_bytes', 'redirects', 'attempts', 'duplicate_of', 'remote_ip'];
const csvLeftOut = new Set([...csvColumns, 'type', 'error', 'timing_ms']);

/* Two passes: which columns there are is known only once all records were seen. */
async function makeCsv(transcript) {
  const others = new Set();
  await eachRecord(transcript, (record) => {
    for (const name of Object.keys(record)) if (!csvLeftOut.has(name)) others.add(name);
  });
  const columns = [...csvColumns, ...others];
  const file = new Transcript();
  const add = (values) => file.add(`${values.map(csvCell).join()}\r\n`);

  file.add('\uFEFF'); /* or spreadsheets take it for anything but UTF-8 */
  add([...columns, 'error_code', 'error_message', 'total_ms']);
  await eachRecord(transcript, (record) => {
    add([...columns.map((name) => record[name]), record.error?.code, record.error?.message, record.timing_ms?.total]);
  });
  return new Blob([file.blob()], { type: 'text/csv;charset=utf-8' });
}

/* Of an answer that was cut, the last line may be half a record. */
async function eachRecord(transcript, onRecord) {
  await eachLine(transcript.blob(), (line, at, length) => {
    if (at + length >= transcript.size) return;
    const record = JSON.parse(line);
    if (record.type === 'result') onRecord(record);
  });
}

async function saveCsv() {
  element('save-csv').disabled = true;
  save(await makeCsv(batch.transcript), 'skimd.csv');
  element('save-csv').disabled = false;
}

async function editFailed() {
  const urls = [];
  await eachRecord(batch.transcript, ({ status, url }) => { if (status !== 'ok') urls.push(url); });
  const text = urls.join('\n');
  chooseFile(null);
  if (!takeLong(text, 'failed URLs')) {
    element('urls').value = text;
    element('urls').focus();
  }
  announce(`${plural(urls.length, 'URL')} to try again.`);
}

/* -- the daemon --------------------------------------------------------------------------------- */

const statusPauseMs = 2000;
let before = new Map(); /* of each running batch, how many records it had when it was last asked for */
let askedAt = 0;

/* Of batches that ended in between nothing is known: the rate is one of those that run. */
function throughput(batches) {
  const now = performance.now();
  const done = new Map(batches.map((b) => [b.number, b.total - b.pending]));
  let more = 0;

  for (const [id, count] of done) more += count - (before.get(id) ?? 0);
  const rate = (1000 * more) / (now - askedAt);
  const isFirst = askedAt === 0;
  before = done;
  askedAt = now;
  return isFirst ? null : rate;
}

function batchLine(b) {
  const line = document.createElement('li');
  const bar = document.createElement('progress');
  const label = document.createElement('span');

  bar.max = Math.max(1, b.total);
  bar.value = b.total - b.pending;
  label.textContent = `${b.number}: ${number(b.total - b.pending)} of ${number(b.total)}, ` +
    `${number(b.failed)} failed, ${seconds(b.elapsed_ms)}`;
  bar.setAttribute('aria-label', `Batch ${b.number}`);
  line.append(bar, label);
  return line;
}

function showStatus(status) {
  const { batches, fetches, workers, memory } = status;
  const rate = throughput(batches.running);
  const lines = batches.running.slice(0, 20).map(batchLine);

  if (lines.length < batches.running.length || lines.length === 0) {
    const line = document.createElement('li');
    line.textContent = lines.length === 0 ? 'None.' : `and ${number(batches.running.length - lines.length)} more`;
    lines.push(line);
  }
  element('daemon-batches').replaceChildren(...lines);
  element('daemon-rate').textContent = rate === null ? '–' : perSecond(rate);
  element('daemon-fetches').textContent = `${number(fetches.in_flight)} of ${number(fetches.limit)}`;
  element('daemon-waiting').textContent = number(fetches.urls_waiting);
  element('daemon-workers').textContent = `${number(workers.busy)} of ${number(workers.busy + workers.idle)}`;
  element('daemon-memory').textContent = bytes(memory.resident_bytes);
}

/* Asks again and again, but not from a tab that nobody looks at, nor a daemon that has no status. */
async function watchDaemon() {
  let answer = null;

  if (!document.hidden) {
    try {
      answer = await fetch('v1/status', { headers: authorization(), cache: 'no-store' });
      if (answer.ok) showStatus(await answer.json());
      element('daemon').hidden = !answer.ok;
    } catch {
      element('daemon').hidden = true; /* it is not there, or tells what this page does not know */
    }
  }
  if (answer?.status !== 404) setTimeout(watchDaemon, statusPauseMs);
}

/* -- the page ----------------------------------------------------------------------------------- */

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  start();
});
element('cancel').addEventListener('click', () => batch?.controller.abort());
element('urls').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  element('form').requestSubmit();
});
element('urls').addEventListener('paste', (event) => {
  if (takeLong(event.clipboardData?.getData('text') ?? '', 'pasted text')) event.preventDefault();
});

element('file').addEventListener('change', () => chooseFile(element('file').files[0]));
element('file-remove').addEventListener('click', () => chooseFile(null));
document.addEventListener('dragover', (event) => {
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  document.body.classList.add('dropping');
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dropping');
});
document.addEventListener('drop', (event) => {
  document.body.classList.remove('dropping');
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  chooseFile(event.dataTransfer.files[0]);
});

/* With order=input, dedupe is refused. */
element('order').addEventListener('change', () => {
  element('dedupe').disabled = element('order').value === 'input';
});
element('token').value = sessionStorage.getItem('token') ?? '';
element('token').addEventListener('input', () => sessionStorage.setItem('token', element('token').value));

let filterTimer = 0;
for (const id of ['filter-status', 'filter-text']) {
  element(id).addEventListener('input', () => {
    clearTimeout(filterTimer);
    filterTimer = setTimeout(() => {
      list.filter(element('filter-status').value, element('filter-text').value.trim());
      showFilter();
      element('filter-spoken').textContent = `${plural(list.count, 'record')} shown.`;
    }, 150);
  });
}

element('save-ndjson').addEventListener('click', () => {
  save(new Blob([batch.transcript.blob()], { type: 'application/x-ndjson' }), 'skimd.ndjson');
});
element('save-csv').addEventListener('click', saveCsv);
element('retry').addEventListener('click', editFailed);
element('record-close').addEventListener('click', () => element('record').close());
addEventListener('beforeunload', (event) => { if (batch?.isRunning) event.preventDefault(); });

watchDaemon();
