"""A stand-in for a server's array form, in pyarrow: arrays cut into tiles as the README describes, and a Flight server that
hands them out. It tells the client's assembly apart from the engine's answers."""

from __future__ import annotations

import base64
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

from graticule import messages


def axis(name, size, *, start=None, step=None, values=None, dtype=None, **more):
    """An axis as the server writes it: regular, of values, or of positions."""
    coordinates = None
    if values is not None:
        column = values if isinstance(values, pa.Array) else pa.array(values)
        batch = pa.record_batch([column], names=[name])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        coordinates = {"ipc": base64.b64encode(sink.getvalue().to_pybytes()).decode()}
    elif start is not None:
        coordinates = {"start": start, "step": step}
    return {"name": name, "size": size, "dtype": dtype, "units": None, "calendar": None, "role": "Other", "attributes": {}, "coordinates": coordinates} | more


def tensor_type(inner, ndim):
    return pa.struct([pa.field("data", pa.list_(inner)), pa.field("shape", pa.list_(pa.int32(), ndim))])


def answer(axes, variables, *, tile, scalars=(), crs=None, attributes=None, skip=(), order=None, batch_tiles=3):
    """Schema and batches. `variables`: name -> (dims, array or masked array, attributes, False for a count)."""
    names = [a["name"] for a in axes]
    sizes = [a["size"] for a in axes]
    fields = [pa.field("origin", pa.list_(pa.int64()))]
    for name, (dims, array, attrs, nullable) in variables.items():
        inner = pa.from_numpy_dtype(array.dtype) if array.dtype != object else pa.string()
        metadata = {"graticule.attributes": json.dumps(attrs)} | ({} if nullable else {"graticule.absent": "0"})
        if pa.types.is_string(inner):
            # Arrow's tensors hold cells of fixed width; text travels in the same storage without the extension type.
            metadata["graticule.dims"] = json.dumps(dims)
        else:
            metadata |= {"ARROW:extension:name": "arrow.variable_shape_tensor", "ARROW:extension:metadata": json.dumps({"dim_names": dims})}
        fields.append(pa.field(name, tensor_type(inner, len(dims)), nullable=False, metadata=metadata))
    described = {"axes": axes, "crs": crs, "scalars": list(scalars), "attributes": attributes or {}}
    schema = pa.schema(fields, metadata={"graticule.axes": json.dumps(described)})
    origins = list(itertools.product(*[range(0, n, t) for n, t in zip(sizes, tile)]))
    origins = [o for k, o in enumerate(origins) if k not in skip]
    if order is not None:
        order.shuffle(origins)
    batches = []
    for at in range(0, len(origins), batch_tiles):
        part = origins[at : at + batch_tiles]
        columns = [pa.array([list(o) for o in part], pa.list_(pa.int64()))]
        for (dims, array, _, _), field in zip(variables.values(), fields[1:]):
            cells, shapes = [], []
            for o in part:
                place = tuple(slice(o[names.index(d)], o[names.index(d)] + tile[names.index(d)]) for d in dims)
                box = array[place]
                shapes.append(list(box.shape))
                mask = np.ma.getmaskarray(box).ravel()
                cells.append(pa.array(np.ma.getdata(box).ravel(), field.type.field("data").type.value_type, mask=mask if mask.any() else None))
            offsets = np.cumsum([0] + [len(c) for c in cells])
            data = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.concat_arrays(cells), type=field.type.field("data").type)
            shape = pa.array(shapes, pa.list_(pa.int32(), len(dims)))
            columns.append(pa.StructArray.from_arrays([data, shape], fields=list(field.type)))
        batches.append(pa.record_batch(columns, schema=schema))
    return schema, batches


class ArrayServer(flight.FlightServerBase):
    """Answers each text with what `answers` holds for it; remembers what it was asked."""

    def __init__(self, answers):
        super().__init__("grpc://127.0.0.1:0")
        self.answers = answers
        self.asked = []

    @property
    def url(self):
        return f"grpc://127.0.0.1:{self.port}"

    def get_flight_info(self, context, descriptor):
        text = query_of(descriptor.command)
        self.asked.append(text)
        if text not in self.answers:
            raise flight.FlightServerError(f"no answer to {text}")
        schema, _ = self.answers[text]
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(text.encode(), [])], -1, -1)

    def do_get(self, context, ticket):
        schema, batches = self.answers[ticket.ticket.decode()]
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(schema, batches))

    def list_actions(self, context):
        return []


def query_of(command):
    return messages.fields(messages.fields(command)[2])[1].decode()
