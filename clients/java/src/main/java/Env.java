import java.util.List;
import java.util.Map;
import java.util.Properties;

/** What the environment tells the program; package scenario, in Go, describes it. */
final class Env {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String PREFIX = System.getenv("PREFIX");
    static final List<String> SCENARIOS = List.of(System.getenv("SCENARIOS").split(","));
    static final long START_MS = Long.parseLong(System.getenv("START_MS"));
    static final short REPLICATION = Short.parseShort(System.getenv("REPLICATION"));
    static final int FAILOVER_RECORDS = Integer.parseInt(System.getenv("FAILOVER_RECORDS"));
    static final long FAILOVER_MS = Long.parseLong(System.getenv("FAILOVER_MS"));

    private Env() {}

    /** The properties of a client: where the brokers are, and what else it needs. */
    static Properties client(Map<String, ?> more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        p.putAll(more);
        return p;
    }
}
