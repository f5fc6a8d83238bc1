// Commits of so many groups at once for so many seconds, each by a consumer of its own, one after the other; prints {"perSecond": …, "p50Ms": …, "p99Ms": …}.
// usage: java -cp … Commits.java BOOTSTRAP TOPIC COMMITTERS SECONDS
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Commits {
  static final double WARM_SECONDS = 3;

  static List<Long> commits(String bootstrap, TopicPartition partition, String group, CyclicBarrier begin, double seconds) throws Exception {
    Map<String, Object> options = Map.of("bootstrap.servers", bootstrap, "group.id", group, "enable.auto.commit", "false");
    var tookNs = new ArrayList<Long>();
    try (var consumer = new KafkaConsumer<byte[], byte[]>(options, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.assign(List.of(partition));
      var offsets = Map.of(partition, new OffsetAndMetadata(0));
      consumer.commitSync(offsets);
      begin.await();
      long begun = System.nanoTime();
      while (true) {
        long at = System.nanoTime();
        if (at - begun > (WARM_SECONDS + seconds) * 1e9) return tookNs;
        consumer.commitSync(offsets);
        if (at - begun > WARM_SECONDS * 1e9) tookNs.add(System.nanoTime() - at);
      }
    }
  }

  public static void main(String[] args) throws Exception {
    int committers = Integer.parseInt(args[2]);
    double seconds = Double.parseDouble(args[3]);
    var partition = new TopicPartition(args[1], 0);
    var begin = new CyclicBarrier(committers);
    var threads = Executors.newFixedThreadPool(committers);
    var running = new ArrayList<Future<List<Long>>>();
    for (int i = 0; i < committers; i++) {
      String group = "committing-" + i;
      running.add(threads.submit(() -> commits(args[0], partition, group, begin, seconds)));
    }
    var all = new ArrayList<Long>();
    for (var each : running) all.addAll(each.get());
    Collections.sort(all);
    System.out.printf(Locale.ROOT, "{\"perSecond\": %.0f, \"p50Ms\": %.3f, \"p99Ms\": %.3f}%n", all.size() / seconds, all.get(all.size() / 2) / 1e6, all.get(all.size() * 99 / 100) / 1e6);
    System.exit(0);
  }
}
