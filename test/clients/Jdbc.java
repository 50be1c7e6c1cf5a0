/*
 * JDBC, as Metabase, DBeaver and other tools in Java use it: the lists of DatabaseMetaData, prepared statements with
 * plans for any value, rows in parts, cancels.  Run by test/clients/run.
 */
import java.net.URI;
import java.net.URLDecoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

public class Jdbc {
	static final String SIRET = "00000301200010";
	static final List<String> SIRENS = List.of("000003012", "000003020", "000003038", "000003061", "000003079",
		"000003095", "000003111");
	static final long PATIENCE_MS = 30_000;
	static final long TIME_TO_END_MS = 1_000;
	static final Pattern TARGET = Pattern.compile("\"target\": *\"([^\"]*)\"");
	static final HttpClient HTTP = HttpClient.newHttpClient();
	static boolean failed;

	/* ---- lines of TAP ---- */

	static void ok(boolean good, String name, Object got) {
		System.out.println((good ? "ok" : "not ok") + " - " + name);
		if (!good) {
			failed = true;
			System.out.println("#   got: " + String.valueOf(got).replace("\n", " "));
		}
	}

	static void equal(Object got, Object wanted, String name) {
		ok(Objects.equals(got, wanted), name, got + ", wanted: " + wanted);
	}

	/* ---- the local API server ---- */

	static String control(String what, String body) throws Exception {
		URI address = URI.create(System.getenv("APIGOUV_STUB_URL") + "/_stub/" + what);
		HttpRequest.Builder request = HttpRequest.newBuilder(address);
		if (body != null)
			request.header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body));
		return HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString()).body();
	}

	static void reset() throws Exception {
		control("reset", "{}");
	}

	static void stall() throws Exception {
		reset();
		control("faults", "[{\"api\": \"marche_inclusion\", \"path\": \"*\", \"times\": -1, \"action\": \"stall\"}]");
	}

	/* What has arrived since the last reset, decoded. */
	static List<String> received() throws Exception {
		List<String> targets = new ArrayList<>();
		Matcher matcher = TARGET.matcher(control("requests", null));
		while (matcher.find())
			targets.add(URLDecoder.decode(matcher.group(1), StandardCharsets.UTF_8));
		return targets;
	}

	static void waitFor(boolean arrived) throws Exception {
		long end = System.currentTimeMillis() + PATIENCE_MS;
		while (arrived ? received().isEmpty() : control("requests", null).matches("(?s).*\"ended\": *null.*")) {
			if (System.currentTimeMillis() > end)
				throw new IllegalStateException("timed out");
			Thread.sleep(5);
		}
	}

	/* ---- the database ---- */

	static Connection connect() throws SQLException {
		Properties properties = new Properties();
		properties.setProperty("user", System.getenv("CLIENT_USER"));
		properties.setProperty("password", System.getenv("CLIENT_PASSWORD"));
		return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("CLIENT_HOST") + ":"
			+ System.getenv("CLIENT_PORT") + "/" + System.getenv("CLIENT_DATABASE"), properties);
	}

	/* Of each row the values of two columns. */
	static Map<String, String> pairs(ResultSet rows, String name, String value) throws SQLException {
		Map<String, String> found = new TreeMap<>();
		while (rows.next())
			found.put(rows.getString(name), rows.getString(value));
		return found;
	}

	/* The tables of a schema with their comments. */
	static Map<String, String> tables(DatabaseMetaData data, String schema, String... types) throws SQLException {
		return pairs(data.getTables(null, schema, "%", types), "TABLE_NAME", "REMARKS");
	}

	/* What is told of the columns of the table of structures. */
	static Map<String, String> columns(DatabaseMetaData data, String schema, String what) throws SQLException {
		return pairs(data.getColumns(null, schema, "structures", "%"), "COLUMN_NAME", what);
	}

	static String one(Connection connection, String sql) throws SQLException {
		try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
			return rows.next() ? rows.getString(1) : null;
		}
	}

	/* ---- what is tested ---- */

	static void lists(Connection connection) throws Exception {
		reset();
		DatabaseMetaData data = connection.getMetaData();
		Map<String, String> schemas = pairs(data.getSchemas(), "TABLE_SCHEM", "TABLE_SCHEM");
		ok(schemas.keySet().containsAll(List.of("marche_inclusion", "entreprise", "vues")), "getSchemas", schemas);
		Map<String, String> foreign = tables(data, "marche_inclusion", "FOREIGN TABLE");
		ok(foreign.containsKey("structures"), "getTables: FOREIGN TABLE", foreign);
		ok(!foreign.containsValue(null), "each has its comment as REMARKS", foreign);
		equal(tables(data, "vues", "VIEW"), foreign, "getTables: VIEW, the companion views with the same comments");
		equal(tables(data, "marche_inclusion", "TABLE", "VIEW"), Map.of(),
			"a tool that asks for tables and views only does not see foreign tables");
		Map<String, String> comments = columns(data, "marche_inclusion", "REMARKS");
		ok(comments.get("siret") != null && comments.get("siret").contains("SIRET"), "getColumns: REMARKS", comments);
		equal(columns(data, "vues", "REMARKS"), comments, "those of the view");
		Map<String, String> types = columns(data, "marche_inclusion", "TYPE_NAME");
		equal(Stream.of("id", "is_active", "created_at", "sectors", "sectors_slugs").map(types::get).toList(),
			List.of("int4", "bool", "timestamptz", "jsonb", "_text"), "getColumns: types");
		ok(!data.getPrimaryKeys(null, "marche_inclusion", "structures").next(), "getPrimaryKeys: none", "some");
		ok(!data.getIndexInfo(null, "marche_inclusion", "structures", false, true).next(), "getIndexInfo: none", "some");
		equal(received(), List.of(), "lists ask nothing");
	}

	static void reads(Connection connection, String schema) throws Exception {
		reset();
		String sql = "SELECT * FROM " + schema + ".structures WHERE siret = ? ORDER BY id";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			statement.setString(1, SIRET);
			ResultSet rows = statement.executeQuery();
			ok(rows.next() && rows.getInt("id") == 1001 && rows.getString("name").equals("Ateliers du Phare")
				&& rows.getBoolean("is_active"), schema + ": a row", "");
			ok(rows.getObject("created_at", OffsetDateTime.class) != null
				&& rows.getArray("sectors_slugs").getArray() instanceof String[]
				&& rows.getString("sectors").startsWith("["), schema + ": times, arrays, JSON", rows.getString("sectors"));
			ok(rows.next() && rows.getInt("id") == 1002 && !rows.next(), schema + ": and another", "");
		}
		List<String> asked = received();
		ok(asked.size() == 1 && asked.get(0).contains(SIRET), schema + ": the condition is sent", asked);
	}

	/* Parameters of prepared statements: plans for one value, then for any value. */
	static void parameters() throws Exception {
		String sql = "SELECT siren, siret FROM entreprise.entreprise_siege_social WHERE siren = ";
		try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement(sql + "?")) {
			List<String> wrong = new ArrayList<>();
			int n = 0;
			for (String mode : List.of("auto", "force_generic_plan")) {
				one(connection, "SELECT set_config('plan_cache_mode', '" + mode + "', false)");
				for (String siren : SIRENS) {
					reset();
					statement.setString(1, siren);
					ResultSet rows = statement.executeQuery();
					boolean right = rows.next() && rows.getString(1).equals(siren) && !rows.next();
					List<String> asked = received();
					if (!right || asked.size() != 1 || !asked.get(0).contains("/" + siren + "/"))
						wrong.add(mode + " " + siren + " " + asked);
					n++;
				}
			}
			equal(wrong, List.of(), n + " executions ask for the key that is bound, and for nothing else");
			String generic = one(connection, "SELECT max(generic_plans) FROM pg_prepared_statements");
			ok(generic != null && Long.parseLong(generic) >= SIRENS.size(),
				"prepared by the server, with a plan for any value", generic);
			statement.setString(1, null);
			reset();
			boolean any = statement.executeQuery().next();
			ok(!any && received().isEmpty(), "a NULL is no key: no row, no request", received());
		}
		try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement(sql + "ANY (?)")) {
			reset();
			statement.setArray(1, connection.createArrayOf("text", SIRENS.subList(0, 3).toArray()));
			ResultSet rows = statement.executeQuery();
			TreeSet<String> found = new TreeSet<>();
			while (rows.next())
				found.add(rows.getString(1));
			equal(List.copyOf(found), SIRENS.subList(0, 3), "an array of keys");
			equal(received().size(), 3, "is a request for each");
		}
	}

	/* What Metabase reads of each table to guess at its columns, and what it must not get. */
	static void probes(Connection connection) throws Exception {
		reset();
		try (Statement statement = connection.createStatement()) {
			ResultSet rows = statement.executeQuery("""
				SELECT substring("entreprise"."entreprise_siege_social"."siret", 1, 1234) AS "substring1",
					"entreprise"."entreprise_siege_social"."siren" FROM "entreprise"."entreprise_siege_social" LIMIT 10000""");
			int columns = rows.getMetaData().getColumnCount();
			ok(!rows.next() && columns == 2, "a preview of a table that needs a key is empty", columns);
			SQLWarning warning = statement.getWarnings();
			ok(warning != null && warning.getMessage().contains("key column \"siren\" has no value"), "with a warning",
				warning);
		}
		equal(one(connection, """
			SELECT "siren" FROM "entreprise"."entreprise_siege_social" GROUP BY "siren" ORDER BY "siren" LIMIT 1000"""),
			null, "so is a list of the values of a column");
		equal(one(connection, "SELECT TRUE FROM \"marche_inclusion\".\"structures\" WHERE 1 <> 1 LIMIT 0"), null,
			"a test of the right to read");
		try {
			one(connection, "SELECT count(*) FROM \"entreprise\".\"entreprise_siege_social\"");
			ok(false, "a count without a key is no 0, but an error", "none");
		} catch (SQLException error) {
			equal(error.getSQLState(), "HV002", "a count without a key is no 0, but an error");
		}
		equal(received(), List.of(), "none of these asks anything");
	}

	/* Rows in parts: what is fetched is what is asked. */
	static void parts(Connection connection) throws Exception {
		reset();
		connection.setAutoCommit(false);
		Integer[] ids = IntStream.range(1001, 1041).boxed().toArray(Integer[]::new);
		String byIds = "SELECT id FROM marche_inclusion.structures WHERE id = ANY (?)";
		try (PreparedStatement statement = connection.prepareStatement(byIds)) {
			statement.setArray(1, connection.createArrayOf("int4", ids));
			statement.setFetchSize(1);
			ResultSet rows = statement.executeQuery();
			rows.next();
			int asked = received().size();
			System.out.println("# fetch size 1: " + asked + " of " + ids.length + " requests before the first row");
			ok(asked > 0 && asked < ids.length, "fetch size: the first row asks for a part of the keys only", asked);
			int n = 1;
			while (rows.next())
				n++;
			asked = received().size();
			ok(n > ids.length / 2 && asked == ids.length, "all rows, each key once", n + " rows, " + asked + " requests");
		}
		connection.commit();
		reset();
		String preview = "SELECT siren FROM entreprise.entreprise_siege_social LIMIT 10";
		try (PreparedStatement statement = connection.prepareStatement(preview)) {
			statement.setFetchSize(5);
			ok(!statement.executeQuery().next(), "a preview in parts is empty without a key, too", "a row");
		}
		connection.commit();
		connection.setAutoCommit(true);
		try (Statement statement = connection.createStatement()) {
			statement.setMaxRows(3);
			ResultSet rows = statement.executeQuery("SELECT id FROM marche_inclusion.structures");
			int n = 0;
			while (rows.next())
				n++;
			equal(n, 3, "setMaxRows");
		}
	}

	interface Action {
		void run() throws Exception;
	}

	/* A query ends with a cancel: its SQLSTATE; when it has to end is the caller's. */
	static void cancelled(PreparedStatement statement, Action meanwhile, String name) throws Exception {
		stall();
		long[] since = { 0 };
		Thread other = new Thread(() -> {
			try {
				waitFor(true);
				since[0] = System.nanoTime();
				meanwhile.run();
			} catch (Exception error) {
				error.printStackTrace();
			}
		});
		other.start();
		statement.setString(1, SIRET);
		try {
			statement.executeQuery();
			ok(false, name, "no error");
		} catch (SQLException error) {
			long ms = (System.nanoTime() - since[0]) / 1_000_000;
			equal(error.getSQLState(), "57014", name);
			System.out.println("# " + name + ": " + ms + " ms after the request");
			ok(ms < TIME_TO_END_MS + statement.getQueryTimeout() * 1000L, name + ": at once", ms);
		}
		other.join();
		waitFor(false);
		reset();
	}

	static void cancels(Connection connection) throws Exception {
		String sql = "SELECT name FROM vues.structures WHERE siret = ?";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			cancelled(statement, statement::cancel, "Statement.cancel");
			ok(statement.executeQuery().next(), "the connection goes on", "");
			statement.setQueryTimeout(1);
			cancelled(statement, () -> { }, "setQueryTimeout");
			statement.setQueryTimeout(0);
			ok(statement.executeQuery().next(), "the connection goes on", "");
		}
	}

	public static void main(String[] arguments) throws Exception {
		try (Connection connection = connect()) {
			lists(connection);
			reads(connection, "marche_inclusion");
			reads(connection, "vues");
			parameters();
			probes(connection);
			parts(connection);
			cancels(connection);
		}
		System.exit(failed ? 1 : 0);
	}
}
