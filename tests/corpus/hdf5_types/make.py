"""Makes HDF5 and netCDF-4 files with every type of element, and truth.json: what h5py reads in each column.

    python make.py            (h5py >= 3.12 with HDF5 >= 2.0, netCDF4 >= 1.7, numpy)

A member `x` of the compound data set `/c` is the column `/c.x`; elements of array types are further dimensions; complex
numbers have the columns `.r` and `.i`. Numbers of odd precision are read by HDF5's own conversion to 64 bits. `null` is a
missing text.
"""
import ctypes, glob, json, os, shutil
import h5py, netCDF4, numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t

os.chdir(os.path.dirname(os.path.abspath(__file__)))
TEXT = h5py.string_dtype()
# libhdf5 itself, for what h5py does not wrap.
LIB = ctypes.CDLL((glob.glob(os.path.join(os.path.dirname(h5py.__file__), '..', 'h5py.libs', 'libhdf5-*.so*')) or ['libhdf5.so'])[0])


def raw(g, name, t, values, space=None, dcpl=None, memory=None):
    """A data set of a type that numpy does not have, written byte for byte unless `memory` is its type in memory."""
    a = np.ascontiguousarray(values)
    d = h5d.create(g.id, name.encode(), t, space or h5s.create_simple(a.shape[:1]), dcpl)
    d.write(h5s.ALL, h5s.ALL, a, mtype=memory or t)
    return d


def integer(base, precision, offset, size=None):
    t = base.copy()
    if size: t.set_size(size)
    t.set_precision(precision); t.set_offset(offset)
    return t


def floating(base, size, fields, bias, precision, offset=0):
    t = base.copy()
    if size > t.get_size(): t.set_size(size)
    t.set_fields(*fields); t.set_offset(offset); t.set_precision(precision); t.set_ebias(bias)
    if size < t.get_size(): t.set_size(size)
    return t


def fill(t, value):
    p = h5p.create(h5p.DATASET_CREATE); p.set_chunk((2,))
    p.set_fill_value(np.array(value, t))
    return p


def numbers(f, odd):
    g = f.create_group('number')
    rng = np.random.default_rng(3)
    some = lambda n, size: np.frombuffer(rng.bytes(n * size), 'V%d' % size)
    for name, t in {
        'twelve': integer(h5t.STD_I16LE, 12, 0), 'seven_of_big': integer(h5t.STD_U16BE, 7, 3), 'three_bytes': integer(h5t.STD_I32LE, 24, 0, 3),
        'three_bytes_big': integer(h5t.STD_U32BE, 24, 0, 3), 'five_bytes': integer(h5t.STD_I64BE, 37, 2, 5), 'one_bit': integer(h5t.STD_U8LE, 1, 7),
        'bits_8': h5t.STD_B8LE, 'bits_16_big': h5t.STD_B16BE, 'sixty_three': integer(h5t.STD_I64LE, 63, 1),
    }.items():
        raw(g, name, t, some(9, t.get_size()))
        unsigned = t.get_class() == h5t.BITFIELD or t.get_sign() == h5t.SGN_NONE
        odd['/number/' + name] = {1: '8', 2: '16', 3: '32', 4: '32', 5: '64', 8: '64'}[t.get_size()], unsigned
    floats = np.array([0, 1, -1.5, 3.14159, 1e-3, 240, -0.0, 7e4, np.inf, -np.inf, np.nan, 1e-6])
    for name, t in {
        'bfloat': floating(h5t.IEEE_F32LE, 2, (15, 7, 8, 0, 7), 127, 16), 'bfloat_big': floating(h5t.IEEE_F32BE, 2, (15, 7, 8, 0, 7), 127, 16),
        'twenty_bits': floating(h5t.IEEE_F32LE, 4, (26, 20, 6, 7, 13), 31, 20, 7), 'other_bias': floating(h5t.IEEE_F32LE, 4, (31, 23, 8, 0, 23), 126, 32),
        'other_bias_big': floating(h5t.IEEE_F64BE, 8, (63, 52, 11, 0, 52), 1000, 64),
    }.items():
        raw(g, name, t, floats, memory=h5t.NATIVE_DOUBLE)
        odd['/number/' + name] = 'float32' if name in ('bfloat', 'bfloat_big', 'twenty_bits') else 'float64', False
    g.create_dataset('extended', data=np.array([1 / np.longdouble(3), -2.5, 1e300, 0, np.inf, 1e-310, np.longdouble(1) + np.finfo(np.longdouble).eps], 'g'))
    g.create_dataset('half', data=np.array([1, 65504, 6e-8, -0.5], '>f2'))
    raw(g, 'time', h5t.UNIX_D32LE, np.arange(3, dtype='i4'))
    g.create_dataset('bool', data=[True, False, True])
    g.create_dataset('enum', data=np.array([[0, 300], [7, 7]], '>i2'), dtype=h5py.enum_dtype({'no cloud': 0, 'cumulus': 300, 'mist': 7}, '>i2'))


def texts(f):
    g = f.create_group('text')
    for name, pad in ('terminated', h5t.STR_NULLTERM), ('nulls', h5t.STR_NULLPAD), ('spaces', h5t.STR_SPACEPAD):
        t = h5t.C_S1.copy(); t.set_size(6); t.set_strpad(pad)
        raw(g, name, t, np.array([b'abc   ', b'a b', b'', b' x\0yz', b'\xc3\xa9'], 'S6'))
    p = h5p.create(h5p.DATASET_CREATE); p.set_chunk((2,)); p.set_fill_value(np.array(b'none', 'S5'))
    t = h5t.C_S1.copy(); t.set_size(5); t.set_strpad(h5t.STR_NULLPAD)
    d = h5py.Dataset(h5d.create(g.id, b'fixed_with_fill', t, h5s.create_simple((5,)), p)); d[2:4] = [b'x', b'yy']
    d = g.create_dataset('any_with_fill', (6,), TEXT, chunks=(2,), fillvalue='none'); d[2:4] = ['', 'äö']
    d = g.create_dataset('any_never_written', (6,), TEXT, chunks=(2,), compression='gzip'); d[0:2] = ['', 'b']
    g.create_dataset('compressed', data=np.array([f'text {i}' * (i % 3) for i in range(40)], object).reshape(8, 5), dtype=TEXT, chunks=(3, 2), shuffle=True, compression='gzip')


INNER = np.dtype([('p', '<i2'), ('q', '>f8')])
RECORD = np.dtype({'names': ['a', 'big', 'in', 'arr', 'many', 'name', 'c', 'flag', 'word'], 'itemsize': 130, 'offsets': [1, 4, 12, 24, 40, 80, 88, 105, 110],
                   'formats': ['u1', '>i4', INNER, ('<f4', (2, 2)), (INNER, (3,)), 'S5', 'c16', h5py.enum_dtype({'off': 0, 'on': 1}, 'i1'), TEXT]})


def records(n):
    a = np.zeros(n, RECORD)
    i = np.arange(np.prod(n)).reshape(n)
    a['a'], a['big'], a['in']['p'], a['in']['q'] = i, i * 1000 - 7, -i, i / 3
    for k in range(4): a['arr'][..., k // 2, k % 2] = i + k / 4
    for k in range(3): a['many']['p'][..., k], a['many']['q'][..., k] = i * 3 + k, i - k / 8
    a['name'], a['c'], a['flag'] = [[f'n{x}'.encode() for x in np.atleast_1d(r)] for r in i] if i.ndim > 1 else [f'n{x}'.encode() for x in i], i + 1j * i / 2, i % 2
    a['word'] = np.array([f'w{x}' if x % 3 else '' for x in i.ravel()], object).reshape(i.shape)
    return a


def compounds(f):
    g = f.create_group('compound')
    g.create_dataset('contiguous', data=records((7,)))
    g.create_dataset('chunked', data=records((5, 3)), chunks=(2, 2), shuffle=True, compression='gzip')
    g.create_dataset('scalar', data=records((1,))[0], dtype=RECORD)
    p = h5p.create(h5p.DATASET_CREATE); p.set_layout(h5d.COMPACT)
    t = np.dtype([('x', '<i4'), ('y', '>f4')])
    h5py.Dataset(h5d.create(g.id, b'compact', h5t.py_create(t), h5s.create_simple((4,)), p))[...] = np.array([(i, -i) for i in range(4)], t)
    d = g.create_dataset('sparse', (9,), t, chunks=(2,), fillvalue=np.array((-5, 2.5), t)[()]); d[2:5] = np.array([(i, i) for i in range(3)], t)
    g.create_dataset('never', (3,), t, fillvalue=np.array((-5, 2.5), t)[()])
    g.create_dataset('one_member', data=np.array([(1,), (2,)], [('only', '>i8')]))
    g.create_dataset('with_refused', data=np.zeros(2, [('x', 'i4'), ('opaque', 'V3'), ('y', 'f4')]))
    s = np.dtype([('x', 'i4'), ('list', h5py.vlen_dtype('i4')), ('ref', h5py.ref_dtype)]); g.create_dataset('with_lists', (2,), s)
    g.create_dataset('complex', data=np.array([1 + 2j, -3.5j], '>c8')); g.create_dataset('complex_half', data=np.array([(1, 2), (0.5, -4)], [('r', 'f2'), ('i', 'f2')]))
    g.attrs['note'] = 'members are columns'; g['contiguous'].attrs['units'] = 'm'
    d = g.create_dataset('skipped', data=np.array([(i, i) for i in range(6)], t), chunks=(2,), shuffle=True, compression='gzip')
    d.id.write_direct_chunk((2,), np.array([(40, 50), (60, 70)], t).tobytes(), filter_mask=0b11)


def arrays(f):
    g = f.create_group('array')
    d = g.create_dataset('plain', (2, 2), np.dtype(('>f4', (6,)))); d[...] = np.arange(24).reshape(2, 2, 6)
    a = np.arange(5 * 6, dtype='i2').reshape(5, 2, 3)
    d = g.create_dataset('chunked', (5,), np.dtype(('i2', (2, 3))), chunks=(2,), compression='gzip'); d[...] = a
    d = g.create_dataset('sparse', (5,), np.dtype(('i2', (2,))), chunks=(2,)); d[0:2] = a[:2, 0, :2]
    pair = np.dtype([('x', 'i4'), ('y', 'i4')])
    raw(g, 'of_records', h5t.array_create(h5t.py_create(pair), (3,)), np.arange(12, dtype='i4').view(pair).reshape(2, 3))
    raw(g, 'of_arrays', h5t.array_create(h5t.array_create(h5t.STD_I8LE, (2,)), (3,)), np.arange(12, dtype='i1').reshape(2, 6))


def other(f):
    g = f.create_group('refused')
    g.create_dataset('opaque', data=np.zeros(3, 'V5')); g.create_dataset('list', (2,), h5py.vlen_dtype('f4'))
    g.create_dataset('reference', (2,), h5py.ref_dtype); g.create_dataset('region', (2,), h5py.regionref_dtype)
    g.create_dataset('list_of_texts', (2,), h5py.vlen_dtype(TEXT))


def scalar(x):
    if isinstance(x, (bytes, np.bytes_)):
        try: return x.decode()
        except UnicodeDecodeError: return x.decode('latin-1')
    if isinstance(x, str): return x
    if isinstance(x, (np.integer, np.bool_)): return int(x)
    x = float(x)
    return x if np.isfinite(x) else 'NaN' if np.isnan(x) else 'Infinity' if x > 0 else '-Infinity'


def columns(path, a, t, out):
    t = t.base
    refused = h5py.check_string_dtype(t) is None and t.kind == 'O' or t.kind == 'V' and not t.names
    if refused: out[path] = {'refused': True}
    elif t.names:
        for n in t.names: columns(f'{path}.{n}', a[n], t.fields[n][0], out)
    elif t.kind == 'c': columns(path + '.r', a.real, np.dtype('f%d' % (t.itemsize // 2)), out); columns(path + '.i', a.imag, np.dtype('f%d' % (t.itemsize // 2)), out)
    else:
        name = 'str' if t.kind == 'O' else f'S{t.itemsize}' if t.kind == 'S' else 'int8' if t.kind == 'b' else 'float64' if t.itemsize == 16 else t.name
        out[path] = {'shape': list(np.shape(a)), 'type': name, 'values': [scalar(x) for x in np.asarray(a).ravel()]}


def truth(name, odd):
    out = {}
    # HDF5 reads texts with a fill value only where it may write.
    shutil.copy(name, '/tmp/copy.h5')
    with h5py.File('/tmp/copy.h5', 'r+') as f:
        def visit(n, d):
            if not isinstance(d, h5py.Dataset): return
            p = '/' + n
            if d.attrs.get('NAME', b'').startswith(b'This is a netCDF dimension'): return
            t = d.id.get_type()
            if p in odd:
                kind, unsigned = odd[p]
                a = np.empty(d.shape, 'f8' if 'float' in kind else 'u8' if unsigned else 'i8')
                if t.get_class() == h5t.BITFIELD: b = np.empty(d.shape, 'u%d' % t.get_size()); d.id.read(h5s.ALL, h5s.ALL, b, mtype=h5t.STD_B8LE if t.get_size() == 1 else h5t.STD_B16LE); a[...] = b
                else: d.id.read(h5s.ALL, h5s.ALL, a, mtype=h5t.py_create(a.dtype))
                out[p] = {'shape': list(d.shape), 'type': kind if 'float' in kind else ('u' if unsigned else '') + 'int' + kind, 'values': [scalar(x) for x in a]}
            elif t.get_class() in (h5t.TIME, h5t.REFERENCE): out[p] = {'refused': True}
            elif t.equal(h5t.array_create(h5t.array_create(h5t.STD_I8LE, (2,)), (3,))):
                out[p] = {'shape': [2, 3, 2], 'type': 'int8', 'values': list(range(12))}
            elif d.dtype.kind == 'O' and h5py.check_string_dtype(d.dtype) is None: out[p] = {'refused': True}
            else: columns(p, d[()], d.dtype, out)
        f.visititems(visit)
        nulls(f, out)
    return out


def nulls(f, out):
    """HDF5 tells a text that was never written (NULL) from an empty one; h5py gives both as empty."""
    if 'text' in f:
        v = out['/text/any_never_written']['values']
        assert v == ['', 'b', '', '', '', '']
        v[2:] = [None] * 4


def netcdf():
    with netCDF4.Dataset('types.nc', 'w') as d:
        d.createDimension('n', 3)
        e = d.createEnumType('u1', 'cloud_t', {'clear': 0, 'cumulus': 1, 'missing': 255})
        d.createVariable('cloud', e, ('n',), fill_value=255)[:2] = np.array([0, 1], 'u1')
        inner = d.createCompoundType(np.dtype([('u', 'f4'), ('v', '>i2')]), 'wind')
        t = d.createCompoundType(np.dtype([('id', 'i4'), ('wind', inner.dtype), ('profile', 'f8', (2,)), ('tag', 'S1', (4,))]), 'obs_t')
        v = d.createVariable('obs', t, ('n',), zlib=True)
        a = np.zeros(3, t.dtype); a['id'] = [1, 2, 3]; a['wind']['u'] = [.5, 1.5, 2.5]; a['wind']['v'] = [-1, 0, 1]; a['profile'] = np.arange(6).reshape(3, 2)
        a['tag'] = [[b'a', b'b', b'c', b'd']] * 3
        v[:] = a
        v.long_name = 'observations'
        d.createVariable('list', d.createVLType('i4', 'list_t'), ('n',))
        d.createVariable('plain', 'i2', ('n',))[:] = [1, 2, 3]


if __name__ == '__main__':
    found = {}
    for name, libver in ('earliest.h5', 'earliest'), ('latest.h5', 'latest'):
        odd = {}
        # Small nodes in B-trees of chunks, which need version 1 of the superblock.
        fcpl, fapl = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
        if libver == 'earliest': assert LIB.H5Pset_istore_k(ctypes.c_int64(fcpl.id), ctypes.c_uint(1)) >= 0
        else: fapl.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
        with h5py.File(h5f.create(name.encode(), h5f.ACC_TRUNC, fcpl=fcpl, fapl=fapl)) as f:
            numbers(f, odd); texts(f); compounds(f); arrays(f); other(f)
        found[name] = truth(name, odd)
    netcdf()
    found['types.nc'] = truth('types.nc', {})
    json.dump({'made_with': {'h5py': h5py.version.version, 'hdf5': h5py.version.hdf5_version}, 'files': found}, open('truth.json', 'w'), separators=(',', ':'))
    print({p: os.path.getsize(p) for p in [*found, 'truth.json']}, {n: len(v) for n, v in found.items()})
