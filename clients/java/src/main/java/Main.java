import java.io.IOException;
import java.util.Properties;

/** Runs the scenarios that the environment names and reports them. */
public final class Main {
    private Main() {}

    public static void main(String[] args) throws IOException {
        var library = new Properties();
        try (var in = Main.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            library.load(in);
        }
        System.out.println("@ version " + library.getProperty("version"));
        int status = 0;
        try (var scenarios = new Scenarios()) {
            for (String name : Env.SCENARIOS) {
                status |= run(scenarios, name);
            }
        }
        System.exit(status);
    }

    private static int run(Scenarios scenarios, String name) {
        System.out.println("@ start " + name);
        long began = System.nanoTime();
        String report = "ok";
        String note;
        try {
            note = scenarios.call(name);
        } catch (Exception | AssertionError e) {
            report = "fail";
            note = e + (e.getCause() == null ? "" : "; " + e.getCause());
        }
        long ms = (System.nanoTime() - began) / 1_000_000;
        System.out.println("@ " + report + " " + name + " " + ms + " " + note.replaceAll("\\s+", " "));
        return report.equals("ok") ? 0 : 1;
    }
}
