/*
 * Node's pg, as tools and services in JavaScript use it: lists by information_schema and comments, parameters, named
 * statements, a cursor, cancels.  Run by test/clients/run.
 */
'use strict';

const { Client } = require('pg');
const Cursor = require('pg-cursor');
const http = require('http');

const SIRET = '00000301200010';
const SIRENS = ['000003012', '000003020', '000003038', '000003061', '000003079', '000003095', '000003111'];
const PATIENCE_MS = 30000;
const TIME_TO_END_MS = 1000;
let failed = false;

function ok(good, name, got) {
	console.log(`${good ? 'ok' : 'not ok'} - ${name}`);
	if (!good) {
		failed = true;
		console.log(`#   got: ${JSON.stringify(got)}`);
	}
}

function equal(got, wanted, name) {
	ok(JSON.stringify(got) === JSON.stringify(wanted), name, { got, wanted });
}

/* A control of the local API server. */
function control(what, value) {
	return new Promise((resolve, reject) => {
		const request = http.request(`${process.env.APIGOUV_STUB_URL}/_stub/${what}`,
			{ method: value === undefined ? 'GET' : 'POST', headers: { 'Content-Type': 'application/json' } }, reply => {
				let text = '';
				reply.setEncoding('utf8');
				reply.on('data', piece => { text += piece; });
				reply.on('end', () => resolve(JSON.parse(text)));
			});
		request.on('error', reject);
		request.end(value === undefined ? undefined : JSON.stringify(value));
	});
}

const reset = () => control('reset', {});
const received = async () => (await control('requests')).map(entry => decodeURIComponent(entry.target));

async function stall() {
	await reset();
	await control('faults', [{ api: 'marche_inclusion', path: '*', times: -1, action: 'stall' }]);
}

async function until(happened, what) {
	const end = Date.now() + PATIENCE_MS;
	while (!await happened()) {
		if (Date.now() > end)
			throw new Error(`timed out: ${what}`);
		await new Promise(resolve => setTimeout(resolve, 5));
	}
}

/* Nothing is under way at the local API server. */
async function untilIdle() {
	await until(async () => (await control('requests')).every(entry => entry.ended !== null), 'the end of the requests');
}

/* A connection; notices are what the server tells on it. */
async function connect(options) {
	const { CLIENT_HOST, CLIENT_PORT, CLIENT_DATABASE, CLIENT_USER, CLIENT_PASSWORD } = process.env;
	const client = new Client({ host: CLIENT_HOST, port: Number(CLIENT_PORT), database: CLIENT_DATABASE, user: CLIENT_USER,
		password: CLIENT_PASSWORD, ...options });
	client.notices = [];
	client.on('notice', notice => client.notices.push(notice.message));
	await client.connect();
	return client;
}

/* The error of a query that should fail. */
const errorOf = promise => promise.then(() => null, error => error);

async function lists(client) {
	await reset();
	const tables = await client.query('SELECT table_schema, table_name, table_type,'
		+ " obj_description(format('%I.%I', table_schema, table_name)::regclass) AS comment"
		+ ' FROM information_schema.tables'
		+ " WHERE table_schema = ANY ($1) ORDER BY table_schema, table_name", [['marche_inclusion', 'vues']]);
	const of = schema => tables.rows.filter(row => row.table_schema === schema);
	const foreign = of('marche_inclusion');
	ok(foreign.length > 0 && foreign.every(row => row.table_type === 'FOREIGN' && row.comment),
		'information_schema.tables: type FOREIGN, with their comments', tables.rows);
	equal(of('vues').map(row => [row.table_name, row.table_type, row.comment]),
		foreign.map(row => [row.table_name, 'VIEW', row.comment]), 'a companion view for each, with its comment');
	const columns = await client.query('SELECT table_schema, column_name, data_type,'
		+ " col_description(format('%I.%I', table_schema, table_name)::regclass, ordinal_position) AS comment"
		+ " FROM information_schema.columns WHERE table_name = 'structures' AND table_schema = ANY ($1)"
		+ ' ORDER BY ordinal_position', [['marche_inclusion', 'vues']]);
	const columnsOf = schema => columns.rows.filter(row => row.table_schema === schema)
		.map(row => [row.column_name, row.data_type, row.comment]);
	ok(columnsOf('marche_inclusion').length > 0 && columnsOf('marche_inclusion').every(column => column[2]),
		'columns with their comments', columns.rows);
	equal(columnsOf('vues'), columnsOf('marche_inclusion'), 'those of the view');
	equal(await received(), [], 'lists ask nothing');
}

async function reads(client, schema) {
	await reset();
	const { rows } = await client.query(`SELECT * FROM ${schema}.structures WHERE siret = $1 ORDER BY id`, [SIRET]);
	equal(rows.map(row => [row.id, row.name, row.is_active]),
		[[1001, 'Ateliers du Phare', true], [1002, 'Ateliers du Phare', true]], `${schema}: rows`);
	ok(Array.isArray(rows[0].sectors) && Array.isArray(rows[0].sectors_slugs) && rows[0].created_at instanceof Date,
		`${schema}: JSON, arrays and times are JavaScript's`, rows[0]);
	const asked = await received();
	ok(asked.length === 1 && asked[0].includes(SIRET), `${schema}: the condition is sent`, asked);
}

async function parameters(client) {
	const wrong = [];
	for (const mode of ['auto', 'force_generic_plan']) {
		await client.query("SELECT set_config('plan_cache_mode', $1, false)", [mode]);
		for (const siren of SIRENS) {
			await reset();
			const { rows } = await client.query({ name: 'siege', values: [siren],
				text: 'SELECT siret FROM entreprise.entreprise_siege_social WHERE siren = $1' });
			const asked = await received();
			if (rows.length !== 1 || asked.length !== 1 || !asked[0].includes(`/${siren}/`))
				wrong.push([mode, siren, rows, asked]);
		}
	}
	equal(wrong, [], 'a named statement asks for the key that is bound, and for nothing else');
	const plans = await client.query("SELECT generic_plans::int FROM pg_prepared_statements WHERE name = 'siege'");
	ok(plans.rows[0].generic_plans >= SIRENS.length, 'also with a plan for any value', plans.rows);
	await reset();
	const keys = SIRENS.slice(0, 3);
	const { rows } = await client.query('SELECT siren FROM entreprise.entreprise_siege_social WHERE siren = ANY ($1)'
		+ ' ORDER BY siren', [keys]);
	equal([rows.map(row => row.siren), (await received()).length], [keys, 3], 'an array of keys is a request for each');
}

async function probes(client) {
	await reset();
	client.notices.length = 0;
	equal((await client.query('SELECT * FROM entreprise.entreprise_siege_social LIMIT $1', [100])).rows, [],
		'a preview of a table that needs a key is empty');
	ok(client.notices.some(text => text.includes('key column "siren" has no value')), 'with a warning', client.notices);
	const error = await errorOf(client.query('SELECT count(*) FROM entreprise.entreprise_siege_social'));
	ok(error && error.code === 'HV002' && /siren/.test(error.hint), 'a count without a key is no 0, but an error', error);
	equal(await received(), [], 'neither asks anything');
}

async function parts(client) {
	const ids = Array.from({ length: 40 }, (_, i) => 1001 + i);
	await reset();
	const cursor = client.query(new Cursor('SELECT id FROM marche_inclusion.structures WHERE id = ANY ($1)', [ids]));
	let n = (await cursor.read(1)).length;
	const asked = (await received()).length;
	console.log(`# cursor: ${asked} of ${ids.length} requests before the first row`);
	ok(n === 1 && asked > 0 && asked < ids.length, "a cursor's first row asks for a part of the keys only", asked);
	for (let rows = [0]; rows.length > 0; n += rows.length)
		rows = await cursor.read(10);
	ok(n > ids.length / 2 && (await received()).length === ids.length, 'all rows, each key once', n);
	await reset();
	const left = client.query(new Cursor('SELECT id FROM marche_inclusion.structures WHERE id = ANY ($1)', [ids]));
	await left.read(1);
	await left.close();
	await untilIdle();
	ok((await received()).length < ids.length, 'a cursor that is closed early does not ask for the rest', await received());
	await reset();
}

async function cancels(client, other) {
	const pid = (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
	const query = 'SELECT name FROM vues.structures WHERE siret = $1';
	await stall();
	const ended = errorOf(client.query(query, [SIRET])).then(error => ({ error, at: Date.now() }));
	await until(async () => (await received()).length > 0, 'the request');
	const began = Date.now();
	await other.query('SELECT pg_cancel_backend($1)', [pid]);
	const { error, at } = await ended;
	equal(error && error.code, '57014', 'pg_cancel_backend ends a query that waits for the API');
	ok(at - began < TIME_TO_END_MS, 'at once', at - began);
	console.log(`# cancelled in ${at - began} ms`);
	await untilIdle();
	await reset();
	equal((await client.query(query, [SIRET])).rows.length, 2, 'the connection goes on');

	const hurried = await connect({ statement_timeout: 300 });
	await stall();
	const late = await errorOf(hurried.query(query, [SIRET]));
	equal(late && late.code, '57014', "the client's option statement_timeout");
	await reset();
	await hurried.end();
}

async function main() {
	const client = await connect();
	const other = await connect();
	await lists(client);
	await reads(client, 'marche_inclusion');
	await reads(client, 'vues');
	await parameters(client);
	await probes(client);
	await parts(client);
	await cancels(client, other);
	await client.end();
	await other.end();
	process.exitCode = failed ? 1 : 0;
}

main().catch(error => {
	console.log(`not ok - it has ended early\n#   ${error.stack}`);
	process.exit(1);
});
