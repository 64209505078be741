"""Makes HDF5 files that name each other, and truth.json: what h5py reads through external links, virtual data sets and
external raw storage.

    python make.py            (h5py >= 3.12, numpy)

`refused`: read by h5py, and not by Graticule, because the chunks of the sources do not lie on the grid of the data set's.
"""
import json, os
import h5py, numpy as np
from h5py import h5d, h5p, h5s, h5t

os.chdir(os.path.dirname(os.path.abspath(__file__)))
U = h5s.UNLIMITED


def sources():
    for k in range(4):
        with h5py.File(f'part{k}.h5', 'w', libver=('v110', 'v110')) as f:
            f['plain'] = np.arange(12, dtype='i4').reshape(3, 4) + 100 * k
            f.create_dataset('chunked', data=np.arange(24, dtype='>i2').reshape(4, 6) + 100 * k, chunks=(2, 3), compression='gzip', shuffle=True)
            f.create_dataset('frames', data=np.arange(2 * 4 * 4, dtype='u2').reshape(2, 4, 4) + 1000 * k, chunks=(1, 4, 4), compression='gzip', maxshape=(None, 4, 4))
            d = f.create_dataset('half_written', (4, 6), 'i2', chunks=(2, 3), fillvalue=-9); d[:2] = k
            p = h5p.create(h5p.DATASET_CREATE); p.set_layout(h5d.COMPACT)
            h5py.Dataset(h5d.create(f.id, b'compact', h5t.STD_I32LE, h5s.create_simple((4,)), p))[...] = np.arange(4) + 10 * k
            f.create_dataset('records', data=np.array([(i, i / 2) for i in range(4)], [('x', 'i4'), ('y', 'f8')]))
            f.create_dataset('big', data=np.arange(4, dtype='>f4') * k)


def virtual(name, libver):
    with h5py.File(name, 'w', libver=libver) as f:
        def put(name, shape, dtype, parts, fill=None, maxshape=None):
            l = h5py.VirtualLayout(shape, dtype, maxshape)
            for where, file, dataset, inner, what in parts:
                s = h5py.VirtualSource(file, dataset, inner)
                l[where] = s if what is None else s[what]
            f.create_virtual_dataset(name, l, fillvalue=fill)
        P = [f'part{k}.h5' for k in range(4)]
        f['here'] = np.arange(6, dtype='f8').reshape(2, 3)
        put('stacked', (4, 3, 4), 'i4', [(k, P[k], 'plain', (3, 4), None) for k in range(4)])
        put('long', (12, 4), 'i4', [(slice(3 * k, 3 * k + 3), P[k], 'plain', (3, 4), None) for k in range(4)])
        put('wide', (3, 16), 'i4', [(np.s_[:, 4 * k:4 * k + 4], P[k], 'plain', (3, 4), None) for k in range(4)])
        put('gaps', (15, 4), 'i4', [(slice(6 * k, 6 * k + 3), P[k], 'plain', (3, 4), None) for k in range(2)], fill=-1)
        put('missing_source', (3, 3, 4), 'i4', [(0, P[0], 'plain', (3, 4), None), (1, 'nowhere.h5', 'plain', (3, 4), None), (2, P[2], 'no_such', (3, 4), None)], fill=-5)
        put('column', (4, 3), 'i4', [(k, P[k], 'plain', (3, 4), np.s_[:, 1]) for k in range(4)])
        put('rows', (4, 2, 4), 'i4', [(k, P[k], 'plain', (3, 4), np.s_[1:3]) for k in range(4)])
        put('tiles', (8, 12), '>i2', [(np.s_[4 * (k // 2):4 * (k // 2) + 4, 6 * (k % 2):6 * (k % 2) + 6], P[k], 'chunked', (4, 6), None) for k in range(4)])
        put('native', (8, 6), '<i2', [(slice(4 * k, 4 * k + 4), P[k], 'chunked', (4, 6), None) for k in range(2)])
        put('part_of_chunks', (2, 2, 3), '>i2', [(k, P[k], 'chunked', (4, 6), np.s_[2:4, 3:6]) for k in range(2)])
        put('off_the_grid', (7, 6), '>i2', [(slice(0, 3), P[0], 'chunked', (4, 6), np.s_[0:3]), (slice(3, 7), P[1], 'chunked', (4, 6), None)])
        put('unlike', (7, 4), 'i4', [(slice(0, 3), P[0], 'plain', (3, 4), None), (slice(3, 7), P[1], 'half_written', (4, 6), np.s_[:, :4])])
        put('converted', (3, 4), 'f8', [(np.s_[:], P[0], 'plain', (3, 4), None)])
        put('same_fill', (8, 6), 'i2', [(slice(4 * k, 4 * k + 4), P[k], 'half_written', (4, 6), None) for k in range(2)], fill=-9)
        put('other_fill', (8, 6), 'i2', [(slice(4 * k, 4 * k + 4), P[k], 'half_written', (4, 6), None) for k in range(2)], fill=-8)
        put('interleaved', (6, 4), 'i4', [(np.s_[k::2], P[k], 'plain', (3, 4), None) for k in range(2)])
        put('compact', (4, 4), 'i4', [(k, P[k], 'compact', (4,), None) for k in range(4)])
        put('records', (2, 4), [('x', 'i4'), ('y', 'f8')], [(k, P[k], 'records', (4,), None) for k in range(2)])
        put('swapped', (4, 4), '<f4', [(k, P[k], 'big', (4,), None) for k in range(4)])
        put('same_file', (4, 3), 'f8', [(slice(0, 2), '.', 'here', (2, 3), None), (slice(2, 4), '.', 'here', (2, 3), None)])
        put('nested', (2, 3, 4), 'i4', [(np.s_[:], '.', 'stacked', (4, 3, 4), np.s_[1:3])])
        f['tall'] = np.arange(12, dtype='i4').reshape(4, 3)
        put('folded', (2, 6), 'i4', [(np.s_[:, 3 * k:3 * k + 3], '.', 'tall', (4, 3), np.s_[2 * k:2 * k + 2]) for k in range(2)])
        put('nested_folded', (2, 6), 'i4', [(np.s_[:], '.', 'folded', (2, 6), None)])
        put('nested_wide', (3, 8), 'i4', [(np.s_[:], '.', 'wide', (3, 16), np.s_[:, 4:12])])
        put('nested_tiles', (4, 12), '>i2', [(np.s_[:], '.', 'tiles', (8, 12), np.s_[4:8])])
        put('nested_gaps', (9, 4), 'i4', [(np.s_[:], '.', 'gaps', (15, 4), np.s_[6:15])], fill=-1)
        put('beyond', (3, 4), 'i4', [(np.s_[:], P[0], 'plain', (9, 4), np.s_[2:5])], fill=-1)
        put('selfish', (2, 2), 'i4', [(0, '.', 'selfish', (2, 2), np.s_[1])])
        put('grown_frames', (8, 4, 4), 'u2', [(slice(2 * k, 2 * k + 2), P[k], 'frames', (2, 4, 4), None) for k in range(4)], maxshape=(None, 4, 4))
        p = h5p.create(h5p.DATASET_CREATE); v = h5s.create_simple((2, 4, 4), (U, 4, 4)); v.select_hyperslab((0, 0, 0), (U, 1, 1), (2, 4, 4), (2, 4, 4))
        s = h5s.create_simple((2, 4, 4), (U, 4, 4)); s.select_all()
        s = h5s.create_simple((2, 4, 4)); s.select_all(); p.set_virtual(v, b'part%b.h5', b'frames', s)
        h5d.create(f.id, b'numbered', h5t.STD_U16LE, h5s.create_simple((2, 4, 4), (U, 4, 4)), p)
        p = h5p.create(h5p.DATASET_CREATE); v = h5s.create_simple((1, 4, 4), (U, 4, 4)); v.select_hyperslab((0, 0, 0), (1, 1, 1), (1, 1, 1), (U, 4, 4))
        s = h5s.create_simple((1, 4, 4), (U, 4, 4)); s.select_hyperslab((0, 0, 0), (1, 1, 1), (1, 1, 1), (U, 4, 4)); p.set_virtual(v, b'part1.h5', b'frames', s)
        h5d.create(f.id, b'unlimited', h5t.STD_U16LE, h5s.create_simple((1, 4, 4), (U, 4, 4)), p)
        put('no_sources', (2, 2), 'f4', [(0, 'nowhere.h5', 'x', (2,), None)], fill=2.5)


def links():
    with h5py.File('below/more.h5', 'w', libver=('v110', 'v110')) as f:
        f['deep/x'] = np.arange(5.0); f['deep/x'].make_scale('x'); f['deep/v'] = np.arange(5, dtype='i2'); f['deep/v'].dims[0].attach_scale(f['deep/x'])
        f['deep'].attrs['note'] = 'from below'; f['deep/back'] = h5py.ExternalLink('../links.h5', '/'); f['soft'] = h5py.SoftLink('/deep/v')
        f['text'] = ['a', 'bc']
    with h5py.File('links.h5', 'w') as f:
        f['own'] = np.arange(3)
        f['group'] = h5py.ExternalLink('below/more.h5', '/deep'); f['through_soft'] = h5py.ExternalLink('below/more.h5', 'soft')
        f['array'] = h5py.ExternalLink('part1.h5', '/chunked'); f['text'] = h5py.ExternalLink('below/more.h5', '/text')
        f['self'] = h5py.ExternalLink('links.h5', '/own'); f['absolute_lost'] = h5py.ExternalLink('/no/such/folder/part2.h5', '/plain')
        f['no_file'] = h5py.ExternalLink('nowhere.h5', '/x'); f['no_object'] = h5py.ExternalLink('part1.h5', '/nowhere')
        f['outside'] = h5py.ExternalLink('/etc/hostname', '/x'); f['no_hdf5'] = h5py.ExternalLink('make.py', '/x')
        f['circle'] = h5py.ExternalLink('below/more.h5', '/deep/back/circle')


def raw():
    np.arange(40, dtype='i2').tofile('raw1.bin'); np.arange(100, 140, dtype='i2').tofile('raw2.bin')
    with h5py.File('external.h5', 'w') as f:
        f.create_dataset('one', (4, 5), 'i2', external=[('raw1.bin', 8, h5py.h5f.UNLIMITED)])
        f.create_dataset('two', (5, 4), 'i2', external=[('raw1.bin', 0, 24), ('raw2.bin', 16, 16)])
        f.create_dataset('inside_of_rows', (2, 5), 'i2', external=[('raw1.bin', 0, 6), ('raw2.bin', 0, 14)])
        f.create_dataset('lost', (4,), 'i2', external=[('nowhere.bin', 0, 8)])
        f.create_dataset('short', (60,), 'i2', external=[('raw1.bin', 0, 120)])


def truth(name):
    out = {}
    with h5py.File(name) as f:
        def visit(p, d):
            if not isinstance(d, h5py.Dataset): return
            a = d[()]
            for n in a.dtype.names or ['']: out[f'/{p}.{n}' if n else '/' + p] = {'shape': list(d.shape), 'values': [x.decode() if isinstance(x, bytes) else x for x in (a[n] if n else a).ravel().tolist()]}
        for k in f:
            if k == 'selfish': out['/selfish'] = {'refused': True}; continue     # its own source
            try: o = f[k]
            except Exception: out['/' + k] = {'refused': True}; continue
            if isinstance(o, h5py.Group):
                for n in o:
                    if n != 'back': visit(f'{k}/{n}', o[n])
            else:
                try: visit(k, o)
                except OSError: out['/' + k] = {'refused': True}
    for p in ('/off_the_grid', '/unlike', '/converted', '/other_fill', '/short', '/beyond'):
        if p in out: out[p] = {'refused': True}
    return out


if __name__ == '__main__':
    sources(); links(); raw()
    virtual('virtual.h5', ('v110', 'v110')); virtual('virtual_latest.h5', 'latest')
    names = ['virtual.h5', 'virtual_latest.h5', 'links.h5', 'external.h5']
    found = {n: truth(n) for n in names}
    json.dump({'made_with': {'h5py': h5py.version.version, 'hdf5': h5py.version.hdf5_version}, 'files': found}, open('truth.json', 'w'), separators=(',', ':'))
    print({n: {p: v.get('shape', 'refused') for p, v in f.items()} for n, f in found.items()})
