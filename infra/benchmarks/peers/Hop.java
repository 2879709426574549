import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/** Kafka Streams, exactly_once_v2: the same hop, on Avro's generic records. */
public final class Hop {
    private final GenericDatumReader<GenericRecord> reader;
    private final GenericDatumWriter<GenericRecord> writer;
    private final Schema priced;
    private final int pricedId;

    private Hop(Properties told) {
        priced = new Schema.Parser().parse(told.getProperty("hop.output.schema"));
        pricedId = Integer.parseInt(told.getProperty("hop.output.schema.id"));
        reader = new GenericDatumReader<>(new Schema.Parser().parse(told.getProperty("hop.input.schema")));
        writer = new GenericDatumWriter<>(priced);
    }

    private byte[] hop(byte[] value) {
        try {
            var came = new ByteArrayInputStream(value, 5, value.length - 5);
            GenericRecord parcel = reader.read(null, DecoderFactory.get().directBinaryDecoder(came, null));
            GenericRecord price = new GenericData.Record(priced);
            for (String same : new String[] {"parcel_id", "number", "sender", "recipient"}) price.put(same, parcel.get(same));
            price.put("cents", 100 + (Long) parcel.get("grams") / 10);
            var goes = new ByteArrayOutputStream(256);
            goes.write(ByteBuffer.allocate(5).put((byte) 0).putInt(pricedId).array());
            var encoder = EncoderFactory.get().directBinaryEncoder(goes, null);
            writer.write(price, encoder);
            return goes.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public static void main(String[] words) throws IOException {
        Properties told = new Properties();
        try (var file = new FileInputStream(words[0])) {
            told.load(file);
        }
        Hop hop = new Hop(told);
        StreamsBuilder builder = new StreamsBuilder();
        builder.<byte[], byte[]>stream(told.getProperty("hop.input")).mapValues(hop::hop).to(told.getProperty("hop.output"));
        KafkaStreams streams = new KafkaStreams(builder.build(), told);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
