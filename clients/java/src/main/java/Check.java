import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** What a scenario expects. */
final class Check {
    private static final long MAX_NANOS = 90_000_000_000L;

    private Check() {}

    static void equal(String what, Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError(what + ": " + got + ", want " + want);
        }
    }

    static void that(boolean ok, String what, Object got) {
        if (!ok) {
            throw new AssertionError(what + ": unexpected answer " + got);
        }
    }

    /** Waits for what no event tells. */
    static void await(BooleanSupplier cond, Supplier<String> what) throws InterruptedException {
        long end = System.nanoTime() + MAX_NANOS;
        while (!cond.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waiting for " + what.get());
            }
            Thread.sleep(20);
        }
    }

    /** The call has to fail with an exception of this class. */
    static void fails(Class<? extends Exception> want, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
            if (want.isInstance(cause)) {
                return;
            }
            throw e;
        }
        throw new AssertionError("no " + want.getSimpleName());
    }
}
